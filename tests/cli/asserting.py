"""What every command keeps to, whatever it does."""

import subprocess

from gamify.config import Settings

from tests.harness import gamify


def prints(settings: Settings, *arguments: str, stdin: str | None = None) -> str:
    """Run a command that works and return what it prints; it says nothing on stderr."""
    done = gamify(settings, *arguments, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def fails(settings: Settings, *arguments: str, code: int = 1, stdin: str | None = None) -> str:
    """Run a command that fails and return what it says: one sentence on stderr (after how to use it, for code 2)."""
    return sentence_of(gamify(settings, *arguments, stdin=stdin), code=code)


def sentence_of(done: subprocess.CompletedProcess[str], *, code: int = 1) -> str:
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1 or code == 2, done.stderr
    return done.stderr
