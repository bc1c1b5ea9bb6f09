"""Reports as CSV: one table whose columns are always the same, with every figure that the JSON has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from marshmallow import Schema, fields

from gamify.services import spreadsheet
from gamify.services.reports.span import Span

COMPARED = "compared"
FIRST = ("table", COMPARED)  # where in the JSON a line is from: the member, and whether it is of the days to compare with


def text(schema: type[Schema], body: Mapping[str, Any]) -> str:
    """Return a report as CSV, made from what would be answered as JSON."""
    return _written(columns(schema), lines(body))


def flat(schema: type[Schema], body: Mapping[str, Any]) -> str:
    """Return a report of a single table, whose lines all have what is said of the whole."""
    return _written([*_names(schema())], _flat(body))


def columns(schema: type[Schema]) -> list[str]:
    """Return every column that a report can have, in the order of its schema."""
    tables = [field for name, field in schema().fields.items() if name != COMPARED and _inner(field)]
    return list(dict.fromkeys([*FIRST, *(name for table in tables for name in _names(_inner(table)))]))


def lines(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the lines of every table of a report, by the names of their columns."""
    for part, is_compared in ((body, False), (body[COMPARED] or {}, True)):
        for table, value in part.items():
            if table != COMPARED and isinstance(value, (list, dict)):
                for row in value if isinstance(value, list) else [value]:
                    yield from ({"table": table, COMPARED: is_compared, **line} for line in _flat(row))


def name(report: str, slug: str, mode: str, span: Span) -> str:
    """Name a file by report, tenant, mode and the days that it is about."""
    return f"{report}-{slug}-{mode}-{span.first}-to-{span.last}.csv"


def _written(header: Sequence[str], found: Iterable[Mapping[str, Any]]) -> str:
    rows = ([_cell(line.get(name)) for name in header] for line in found)
    return "".join(spreadsheet.lines(header, rows))


def _flat(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One line, or one for each row within the row; what an object in it has goes by both names."""
    line: dict[str, Any] = {}
    within: list[Any] | None = None
    for name, value in row.items():
        if isinstance(value, dict):
            line |= {f"{name}_{inner}": each for inner, each in value.items()}
        elif isinstance(value, list):
            within = value
        else:
            line[name] = value
    return [line] if within is None else [{**line, **inner} for each in within for inner in _flat(each)]


def _names(schema: Schema) -> Iterator[str]:
    for name, field in schema.fields.items():
        name = field.data_key or name  # noqa: PLW2901  # the name that it goes by
        if isinstance(field, fields.List):
            yield from _names(_inner(field))
        elif isinstance(field, fields.Nested):
            yield from (f"{name}_{inner}" for inner in _names(field.schema))
        else:
            yield name


def _inner(field: Any) -> Any:
    """The schema of the rows of a member; None for one that is no table."""
    return getattr(field.inner if isinstance(field, fields.List) else field, "schema", None)


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
