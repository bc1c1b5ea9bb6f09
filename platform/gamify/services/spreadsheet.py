"""Rows as CSV, in a form that no spreadsheet program takes for a formula."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

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


def guarded(cell: Any) -> Any:
    """Return a cell that is not run."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
