"""A process of the server: the app with both doors, which its parent never loads."""

import atexit
import ctypes
import gc
import os
import signal
import sys

from flask import Flask

from gamify.app import create_app

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
GARBAGE_AFTER = 10_000  # objects made and kept before a search for cycles; a request makes few that stay


def app() -> Flask:
    """Return the app of this process, which ends when the server does, even by kill -9."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The server's threads outlive its end for a moment; they must not find an interpreter that is being taken apart.
    atexit.register(os._exit, 0)
    made = create_app()
    # What was loaded stays; searching it for garbage again and again would cost requests their time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
    return made
