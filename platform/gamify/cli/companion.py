"""A worker beside the server: a process of its own that ends with it, and comes again when it dies."""

import logging
import subprocess
import sys
import threading
import time

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "gamify.cli", "worker", "--with-parent")
GRACE = 10  # seconds to end in
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds before it comes again
STEADY = 60.0  # seconds after which a death is not one of a row


class Companion:
    """Keeps a worker running from `start` to `close`.

    The worker ends when its standard input does, which the kernel closes even if this process is killed.
    """

    def __init__(self) -> None:
        self._ended, self._turn = threading.Event(), threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless that is too late."""
        threading.Thread(target=self._keep, name="companion", daemon=True).start()

    def close(self) -> None:
        """End it, if need be by force."""
        self._ended.set()
        with self._turn:
            process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _keep(self) -> None:
        pause = FIRST_PAUSE
        while (process := self._start()) is not None:
            began = time.monotonic()
            process.wait()
            if self._ended.is_set():
                return
            pause = FIRST_PAUSE if time.monotonic() - began > STEADY else pause
            log.warning("the worker has ended; it comes again in %s seconds", pause)
            self._ended.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._turn:
            if self._ended.is_set():
                return None
            self._process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            return self._process
