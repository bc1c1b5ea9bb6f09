"""A CSV file as it comes: its encoding, its separator, its header, and its rows with the numbers of their lines."""

import csv
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import IO, NamedTuple, Protocol

from gamify.errors import FieldError, Invalid

OPENINGS, HISTORY = "opening balances", "history"
REQUIRED = {OPENINGS: ("participant_id", "balance"), HISTORY: ("participant_id", "type", "amount", "created_at")}
OPTIONAL = {OPENINGS: ("total_earned", "display_name"), HISTORY: ("reason", "metadata", "idempotency_key")}
ALIASES = {"points": "amount"}
LARGEST_CELL = 256 * 1024  # characters; metadata are the largest, and much smaller
LONGEST_LINE = 1024 * 1024  # bytes


class Sheet(NamedTuple):
    """What a file has: which kind of lines, and each with its number and cells by column."""

    kind: str  # OPENINGS or HISTORY
    rows: Iterator["Row"]


class _Reader(Protocol):
    line_num: int

    def __next__(self) -> list[str]: ...


class Row(NamedTuple):
    """A line of the file: the number of its first line, and its cells; none of them when their number is wrong."""

    line: int
    cells: dict[str, str] | None
    cell_count: int


def read(file: IO[bytes]) -> Sheet:
    """Read the header of a file that stands at its beginning; rows are read as they are asked for.

    It is UTF-8 with or without a byte order mark, separated by commas or semicolons. Raises `Invalid`, the rows as well.
    """
    csv.field_size_limit(LARGEST_CELL)
    lines = _decoded(file)
    first = next(lines, "")
    reader = csv.reader(chain([first] if first else [], lines), delimiter=_separator(first), strict=True)
    names = [ALIASES.get(name := cell.strip().lower(), name) for cell in next(_rows(reader), (0, []))[1]]
    kind = _kind(names)
    return Sheet(kind, _cells(reader, names))


def _separator(header: str) -> str:
    return ";" if header.count(";") > header.count(",") else ","


def _kind(names: Sequence[str]) -> str:
    """Tell by its columns what a file has."""
    if not any(names):
        raise Invalid([FieldError("line 1", "Must be a header with the names of the columns; the file begins with nothing.")])
    kind = OPENINGS if "balance" in names else HISTORY
    known = REQUIRED[kind] + OPTIONAL[kind]
    errors = [
        FieldError("line 1", f"Must have a column {name} (a file of {kind}).") for name in REQUIRED[kind] if name not in names
    ]
    errors += [
        FieldError("line 1", f"The column {name or 'without a name'} is not known; a file of {kind} has {', '.join(known)}.")
        for name in dict.fromkeys(names)
        if name not in known
    ]
    errors += [FieldError("line 1", f"The column {name} stands twice.") for name in known if names.count(name) > 1]
    if errors:
        raise Invalid(errors)
    return kind


def _cells(reader: _Reader, names: Sequence[str]) -> Iterator[Row]:
    for line, cells in _rows(reader):
        if cells:  # an empty line is none
            is_whole = len(cells) == len(names)
            yield Row(line, dict(zip(names, cells, strict=True)) if is_whole else None, len(cells))


def _rows(reader: _Reader) -> Iterator[tuple[int, list[str]]]:
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Invalid([FieldError(f"line {line}", f"Cannot be read as CSV: {error}.")]) from error


def _decoded(file: IO[bytes]) -> Iterator[str]:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise Invalid([FieldError(f"line {number}", "Is too long to be a line of CSV.")])
        try:
            yield line.removeprefix(BOM_UTF8 if number == 1 else b"").decode()
        except UnicodeDecodeError as error:
            raise Invalid([FieldError(f"line {number}", "Must be UTF-8 text.")]) from error
