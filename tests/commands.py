"""Runs the command line as a process of its own that need not load it: it is forked from one that has.

Loading takes ten times as long as most commands do. What is loaded only when a command is called is tested by a fresh process.
"""

import atexit
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from gamify.cli import main

PATIENCE = 300  # s

fresh = multiprocessing.get_context("forkserver")
fresh.set_forkserver_preload(["tests.loaded"])


def run(
    arguments: Sequence[str], environment: Mapping[str, str], *, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `gamify` with these arguments, in this environment and no other, to its end."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        files[0].write_text(stdin or "")
        process = fresh.Process(target=_become, args=([str(file) for file in files], list(arguments), dict(environment)))
        process.start()
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), PATIENCE)
        return subprocess.CompletedProcess(list(arguments), process.exitcode, files[1].read_text(), files[2].read_text())


def _become(files: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Be the command, as `python -m gamify.cli` would be."""
    stdin, stdout, stderr = map(Path, files)
    with stdin.open() as sys.stdin, stdout.open("w") as sys.stdout, stderr.open("w") as sys.stderr:
        for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
            os.dup2(stream.fileno(), number)  # for whatever the command starts
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["gamify", *arguments]
        try:
            main()
        finally:
            atexit._run_exitfuncs()  # which forked processes leave out
            sys.__stdout__.flush()  # alembic writes to what was there when it was loaded
