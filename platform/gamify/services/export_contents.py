"""What files are made of: the ledger as filtered, or the table of a report, from a wish that can wait in the database."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from gamify.errors import FieldError, Invalid
from gamify.models import Tenant
from gamify.services import file_names, ledger_export, ledger_totals
from gamify.services.entries import Filter
from gamify.services.export_formats import Json
from gamify.services.reports import tables
from gamify.services.reports.span import Span
from gamify.services.reports.tables import Column, Row

LEDGER = "ledger"
KINDS = (LEDGER, *tables.KINDS)
LONGEST_QUERY = 8_000  # characters
NUMBERS = ("points", "balance_after", "total_earned_after", "total_spent_after", "number")
TYPES: dict[str, type] = {"created_at_local": datetime, "metadata": Json} | dict.fromkeys(NUMBERS, int)
LEDGER_COLUMNS = tuple(Column(name, TYPES.get(name, str)) for name in ledger_export.COLUMNS)
LOCAL = ledger_export.COLUMNS.index("created_at_local")


class Wish(NamedTuple):
    """A file that somebody wants: of what, in words and for programs."""

    kind: str
    query: str
    wanted: dict[str, Any]
    title: str
    about: str
    name: str  # of the file, without its ending


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a file. Among the rows, None is a chance to look up; `expected` is their number, where it is known at once."""

    title: str
    columns: Sequence[Column]
    rows: Iterator[Row | None]
    expected: int | None
    zone: ZoneInfo


def ledger(tenant: Tenant, wanted: Filter, *, query: str, about: str, now: datetime) -> Wish:
    """Wish for the entries of a filter, however many; what is relative in it is settled now."""
    zone = ZoneInfo(tenant.time_zone)
    name = ledger_export.file_name(tenant.slug, tenant.mode, wanted.since, wanted.until, zone=zone, now=now)
    said = asdict(wanted) | {name: at and at.isoformat() for name, at in (("since", wanted.since), ("until", wanted.until))}
    said = {name: value for name, value in said.items() if value not in (None, {})}
    return Wish(LEDGER, _checked(query), {"filter": said, "zone": tenant.time_zone}, "Ledger", about, name.removesuffix(".csv"))


def report(session: Session, tenant: Tenant, kind: str, *, query: str, now: datetime, name: str | None = None) -> Wish:
    """Wish for a report as its address has it; `name` is what it is saved under. Raises `Invalid`."""
    zone = ZoneInfo(tenant.time_zone)
    asked = tables.read(session, tenant.id, kind, dict(parse_qsl(_checked(query))), zone=zone, now=now)
    span = asked.span
    wanted = {"view": asked.view, "first": str(span.first), "last": str(span.last), "unit": span.unit, "zone": str(span.zone)}
    days = f"{span.first}-to-{span.last}"
    file = f"{name} {days}" if name else f"{kind}-{asked.view}-{tenant.slug}-{tenant.mode}-{days}"
    return Wish(kind, query, wanted, name or tables.title_of(asked), tables.days_in_words(asked), file)


def file_name(wish: Wish, ending: str) -> str:
    """What the file is called on the machine of whoever downloads it."""
    return file_names.sane(wish.name, ending, otherwise=wish.kind)


def of(session: Session, tenant_id: int, kind: str, wanted: Mapping[str, Any]) -> Content:
    """Return what a wish's `kind` and `wanted` stand for. The session's transaction is one snapshot."""
    zone = ZoneInfo(wanted["zone"])
    if kind == LEDGER:
        return _of_ledger(session, tenant_id, _filter(wanted["filter"]), zone)
    span = Span(date.fromisoformat(wanted["first"]), date.fromisoformat(wanted["last"]), wanted["unit"], zone)
    table = tables.make(session, tenant_id, tables.Asked(kind, wanted["view"], span))
    return Content(table.title, table.columns, iter(table.rows), len(table.rows), zone)


def _of_ledger(session: Session, tenant_id: int, wanted: Filter, zone: ZoneInfo) -> Content:
    sums = ledger_totals.begin(session, tenant_id, wanted)
    expected = sums.totals.entry_count if sums.next_id is None else None
    rows = (entry and _row(entry, zone) for entry in ledger_export.with_breaths(session, tenant_id, wanted))
    return Content("Ledger", LEDGER_COLUMNS, rows, expected, zone)


def _row(entry: Any, zone: ZoneInfo) -> Row:
    cells = ledger_export.cells(entry, zone)
    cells[LOCAL] = entry.created_at.astimezone(zone)
    return cells


def _filter(said: Mapping[str, Any]) -> Filter:
    times = {name: datetime.fromisoformat(said[name]) for name in ("since", "until") if name in said}
    return Filter(**(dict(said) | times))


def _checked(query: str) -> str:
    if len(query) > LONGEST_QUERY or "\0" in query:
        raise Invalid([FieldError("query", f"Must have at most {LONGEST_QUERY} characters.")])
    return query
