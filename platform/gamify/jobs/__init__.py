"""Background jobs: a file for each, and a line here. They are thin, and call services; a worker runs them."""

from gamify.jobs import housekeeping

__all__ = ["housekeeping"]
