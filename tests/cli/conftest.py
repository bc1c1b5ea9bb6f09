"""The command line in this process: ten times as fast as one of its own, and enough for what it refuses."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from gamify.cli import main
from gamify.config import Settings

from tests.cli.asserting import sentence_of
from tests.harness import environment

Refuses = Callable[..., str]


@pytest.fixture
def refuses(settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Refuses:
    """Runs a command that fails and returns the one sentence it says."""
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, code: int = 1) -> str:
        monkeypatch.setattr(sys, "argv", ["gamify", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        status = ended.value.code if isinstance(ended.value.code, int) else 1
        return sentence_of(subprocess.CompletedProcess(arguments, status, said.out, said.err), code=code)

    return run
