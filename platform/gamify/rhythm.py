"""A rhythm: something done again and again in a thread of its own, so that no request waits for it."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

END_WITHIN = 2.0  # seconds for the last time


class Rhythm:
    """Calls `beat` every so many seconds, from the first `start` on, so that a fork before that is harmless.

    `every` may be changed from within a beat. `has_last` says whether there is one more when it is closed.
    """

    def __init__(self, beat: Callable[[], None], *, every: float, name: str, has_last: bool = True) -> None:
        self.every, self._has_last = every, has_last
        self._beat, self._name = beat, name
        self._thread: threading.Thread | None = None
        self._lock, self._ended = threading.Lock(), threading.Event()

    def start(self) -> None:
        """Begin, unless it has begun: cheap enough to be called by every request."""
        if self._thread is None:
            self._begin()

    def close(self) -> None:
        """Do it once more, if that is wanted and quick, and stop."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(END_WITHIN)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(self.every):
            self._beat_safely()
        if self._has_last:
            self._beat_safely()

    def _beat_safely(self) -> None:
        try:
            self._beat()
        except Exception:  # the thread must live, whatever it has met this time
            log.exception("%s has failed; next time is in %s seconds", self._name, self.every)
