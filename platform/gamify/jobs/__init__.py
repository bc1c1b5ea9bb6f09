"""Background jobs: a file for each, and a line here. They are thin, and call services; a worker runs them."""

from gamify.jobs import (
    add_dimensions,
    blank_erased,
    end_holds,
    housekeeping,
    publish_scheduled,
    recalculate,
    requalify,
    send_reports,
    write_export,
)

__all__ = [
    "add_dimensions",
    "blank_erased",
    "end_holds",
    "housekeeping",
    "publish_scheduled",
    "recalculate",
    "requalify",
    "send_reports",
    "write_export",
]
