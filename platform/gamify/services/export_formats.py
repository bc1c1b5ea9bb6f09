"""The forms a file can have. Each takes one row after the other and holds no more than a few of them."""

import csv
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import orjson
import xlsxwriter

from gamify.errors import FieldError, Invalid
from gamify.services.reports.tables import Cell, Column, Row
from gamify.services.spreadsheet import FORMULA, guarded

SHEET_ROWS = 1_048_576  # of a sheet, its head included
EXACT_DIGITS = 15  # of a number, that a spreadsheet keeps
PARQUET_ROWS = 20_000  # of a group


class Json(str):
    """The type of a column whose cells are JSON, as it was sent."""

    __slots__ = ()


WIDTHS: dict[type, int] = {str: 24, Json: 40, datetime: 24, date: 12, Decimal: 18}  # of columns, in characters


class Writer(Protocol):
    """Writes a file."""

    def add(self, row: Row) -> None:
        """Write a row."""

    def close(self) -> None:
        """Write what is left, and close the file."""

    def drop(self) -> None:
        """Let go of a file that nobody wants."""


class CsvWriter:
    """Comma-separated values, as pages send them."""

    def __init__(self, path: Path, columns: Sequence[Column], _title: str, _zone: ZoneInfo) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow([column.name for column in columns])

    def add(self, row: Row) -> None:
        """Write a row."""
        self._writer.writerow([_plain(guarded(cell)) for cell in row])

    def close(self) -> None:
        """Write what is left."""
        self._file.close()

    drop = close


class JsonlWriter:
    """An object a line; what is JSON in a cell is a part of it, number for number."""

    def __init__(self, path: Path, columns: Sequence[Column], _title: str, _zone: ZoneInfo) -> None:
        self._file = path.open("wb")
        self._columns = columns

    def add(self, row: Row) -> None:
        """Write a row."""
        said = {column.name: _json(column.type, cell) for column, cell in zip(self._columns, row, strict=True)}
        self._file.write(orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Write what is left."""
        self._file.close()

    drop = close


class XlsxWriter:
    """A workbook: numbers are numbers, times are times of the zone, text is never a formula, and sheets follow on sheets."""

    def __init__(self, path: Path, columns: Sequence[Column], title: str, _zone: ZoneInfo) -> None:
        # Temporary files go where there is room for them, not where the system keeps small ones.
        self._book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)})
        self._book.use_zip64()
        self._book.set_properties({"title": title})
        self._columns = columns
        self._head = self._book.add_format({"bold": True, "bottom": 1})
        self._text = self._book.add_format({"quote_prefix": True})  # editing it makes no formula of it either
        self._date = self._book.add_format({"num_format": "yyyy-mm-dd"})
        self._time = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
        self._begin_sheet()

    def add(self, row: Row) -> None:
        """Write a row."""
        if self._next == SHEET_ROWS:
            self._begin_sheet()
        for number, cell in enumerate(row):
            if cell is not None:
                self._put(number, cell)
        self._next += 1

    def close(self) -> None:
        """Write what is left."""
        self._book.close()

    def drop(self) -> None:
        """Put nothing together of what is written so far."""
        for sheet in self._book.worksheets():
            sheet.row_data_fh.close()

    def _begin_sheet(self) -> None:
        self._sheet: Any = self._book.add_worksheet()
        self._sheet.freeze_panes(1, 0)
        for number, column in enumerate(self._columns):
            self._sheet.set_column(number, number, WIDTHS.get(column.type, 14))
            self._sheet.write_string(0, number, column.name, self._head)
        self._next = 1

    def _put(self, number: int, cell: Cell) -> None:
        if isinstance(cell, datetime):  # spreadsheets know no zones
            self._sheet.write_datetime(self._next, number, cell.replace(tzinfo=None), self._time)
        elif isinstance(cell, date):
            self._sheet.write_datetime(self._next, number, cell, self._date)
        elif isinstance(cell, str):
            self._sheet.write_string(self._next, number, cell, self._text if cell.startswith(FORMULA) else None)
        elif _is_exact(cell):
            self._sheet.write_number(self._next, number, cell)
        else:
            self._sheet.write_string(self._next, number, str(_plain(cell)))


class ParquetWriter:
    """Columns with types, in groups of rows."""

    def __init__(self, path: Path, columns: Sequence[Column], _title: str, zone: ZoneInfo) -> None:
        import pyarrow as pa  # noqa: PLC0415  # an extra that need not be there
        from pyarrow import parquet  # noqa: PLC0415

        types = {
            int: pa.int64(),
            float: pa.float64(),
            Decimal: pa.decimal128(38, 10),
            date: pa.date32(),
            datetime: pa.timestamp("us", tz=str(zone)),
        }
        self._schema = pa.schema([(column.name, types.get(column.type, pa.string())) for column in columns])
        self._writer = parquet.ParquetWriter(str(path), self._schema, compression="zstd")
        self._batch, self._rows = pa.RecordBatch, list[Row]()

    def add(self, row: Row) -> None:
        """Write a row."""
        self._rows.append(row)
        if len(self._rows) == PARQUET_ROWS:
            self._write()

    def close(self) -> None:
        """Write what is left."""
        if self._rows:
            self._write()
        self._writer.close()

    def drop(self) -> None:
        """Write nothing more."""
        self._writer.close()

    def _write(self) -> None:
        self._writer.write_batch(self._batch.from_pydict(self._by_name(), schema=self._schema))
        self._rows.clear()

    def _by_name(self) -> dict[str, Sequence[Cell]]:
        return dict(zip(self._schema.names, zip(*self._rows, strict=True), strict=True))


class Format(NamedTuple):
    """A form of files, and who writes it."""

    name: str
    label: str
    hint: str
    mimetype: str
    open: Callable[[Path, Sequence[Column], str, ZoneInfo], Writer]

    @property
    def ending(self) -> str:
        """How names of its files end."""
        return self.name


PARQUET = "parquet"
FORMATS = (
    Format(
        "xlsx",
        "Excel",
        "A workbook; times are those of your time zone.",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        XlsxWriter,
    ),
    Format("csv", "CSV", "Plain text that every program reads.", "text/csv; charset=utf-8", CsvWriter),
    Format("jsonl", "JSON Lines", "An object a line, metadata as it was sent.", "application/jsonl; charset=utf-8", JsonlWriter),
    Format(PARQUET, "Parquet", "Typed columns for data tools.", "application/vnd.apache.parquet", ParquetWriter),
)


def available() -> list[Format]:
    """The formats that there are here: Parquet is an extra."""
    return [each for each in FORMATS if each.name != PARQUET or find_spec("pyarrow")]


def get(name: str) -> Format:
    """Return a format. Raises `Invalid` naming `format`."""
    there = available()
    found = next((each for each in there if each.name == name), None)
    if found is None:
        why = f"Must be one of {', '.join(each.name for each in there)}."
        raise Invalid([FieldError("format", "Needs gamify[parquet], which is not installed here." if name == PARQUET else why)])
    return found


def known(name: str) -> Format:
    """Return a format that there is, or was when it was asked for."""
    return next(each for each in FORMATS if each.name == name)


def _plain(cell: Cell) -> Cell:
    """A cell as text has it; numbers stay what they are."""
    if isinstance(cell, datetime):
        return cell.isoformat(timespec="microseconds")
    return f"{cell.normalize():f}" if isinstance(cell, Decimal) else cell


def _is_exact(number: Cell) -> bool:
    """Whether a spreadsheet keeps all digits of a number."""
    if isinstance(number, Decimal):
        return len(number.normalize().as_tuple().digits) <= EXACT_DIGITS
    return isinstance(number, float) or (isinstance(number, int) and abs(number) < 10**EXACT_DIGITS)


def _json(kind: type, cell: Cell) -> Any:
    if cell is None:
        return None
    if kind is Json:
        return orjson.Fragment(str(cell))
    plain = _plain(cell)
    return orjson.Fragment(str(plain)) if isinstance(cell, Decimal) else plain
