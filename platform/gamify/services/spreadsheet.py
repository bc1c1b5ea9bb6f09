"""Rows as CSV, in a form that no spreadsheet program takes for a formula."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

BROKEN_OFF = '\r\n"THIS FILE IS INCOMPLETE. The server could not read on; download it again."\r\n'
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # OWASP's list of what begins one


class _Line:
    """What a CSV writer writes to: it keeps the line, and that is all."""

    def write(self, line: str) -> str:
        return line


def lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield one line after the other; text that could be a formula begins with an apostrophe, numbers stay alone."""
    writer = csv.writer(_Line())
    yield writer.writerow(header)
    for row in rows:
        yield writer.writerow([guarded(cell) for cell in row])


def telling(parts: Iterator[str]) -> Iterator[str]:
    """Yield the parts of a file that is on its way already. If they break off, the file says so in its last line.

    An answer that has begun cannot become an error any more, and servers end it as if it were whole.
    """
    try:
        yield from parts
    except Exception:
        yield BROKEN_OFF
        raise


def guarded(cell: Any) -> Any:
    """Return a cell that is not run."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
