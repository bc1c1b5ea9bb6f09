"""Reports as tables: a kind and the parameters of an address become a title, columns and rows, the same for every file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from math import inf
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from gamify.errors import FieldError, Invalid
from gamify.models import Tier
from gamify.services import entries, ladder, zones
from gamify.services.figures import Sums
from gamify.services.reports import activity, age_steps, costs, days, dimensions, liability, rises, roll_forward
from gamify.services.reports.activity import Bar
from gamify.services.reports.ages import BANDS
from gamify.services.reports.roll_forward import BY_KEY, BY_REASON, BY_TIER, METADATA, TENANT, Group
from gamify.services.reports.span import Span
from gamify.services.rollup_parts import NOBODY, REASONS

ROLL_FORWARD, LIABILITY, TIERS, ACTIVITY = KINDS = ("roll-forward", "liability", "tiers", "activity")
PARAMETERS = ("period", "from", "to", "unit", "zone", "by", "table")
USUAL_PERIOD = "last_30_days"
OTHERS = "(all others)"

Cell = str | int | float | Decimal | date | datetime | None
Row = Sequence[Cell]


class Column(NamedTuple):
    """A column's name, as programs read it, and the type of what is in it."""

    name: str
    type: type


@dataclass(frozen=True, slots=True)
class Asked:
    """A report as an address asks for it: one view of a kind, over a span of days."""

    kind: str
    view: str
    span: Span


@dataclass(frozen=True, slots=True)
class Table:
    """A report's rows under their columns. `title` says what they are, `about` of which days."""

    title: str
    about: str
    columns: Sequence[Column]
    rows: Sequence[Row]


Make = Callable[[Session, int, Asked], tuple[Sequence[Column], Iterator[Row]]]

_PERIOD = (Column("from", date), Column("to", date))
_MOVEMENTS = tuple(Column(name, int) for name in ("awarded", "reversed", "deducted", "given_back"))
_POINTS, _PARTICIPANTS = Column("points", int), Column("participants", int)
_FROM_TO = (Column("tier_from", str), Column("tier_to", str))
_MOVED = (*_MOVEMENTS, Column("net", int), Column("entries", int))


def read(session: Session, tenant_id: int, kind: str, query: Mapping[str, str], *, zone: ZoneInfo, now: datetime) -> Asked:
    """Understand the parameters of a report's page: `period` or `from` and `to`, `unit`, `zone`, and which view.

    That is `by` of a roll-forward, and `table` of the others; what else there is is left alone. Raises `Invalid` that names the
    parameter.
    """
    if kind not in KINDS:
        raise Invalid([FieldError("kind", f"Must be one of {', '.join(KINDS)}.")])
    values = {name: query.get(name, "").strip() for name in PARAMETERS}
    zone = _zone(kind, values["zone"]) or zone
    first, last = _day("from", values["from"]), _day("to", values["to"])
    period = None if first or last else values["period"] or USUAL_PERIOD
    beginning = entries.first_at(session, tenant_id)
    span = days.span(beginning=beginning, name=period, first=first, last=last, unit=values["unit"], zone=zone, now=now)
    name = "by" if kind == ROLL_FORWARD else "table"
    view = values[name] or next(iter(VIEWS[kind]))
    if view not in VIEWS[kind] and not _is_dimension(session, tenant_id, kind, view):
        raise Invalid([FieldError(name, f"Must be one of {', '.join(VIEWS[kind])}{_or_metadata(kind)}.")])
    return Asked(kind, view, span)


def make(session: Session, tenant_id: int, asked: Asked) -> Table:
    """Return a report's table. On one snapshot, please: its parts are several statements."""
    view = VIEWS[asked.kind].get(asked.view) or _words(asked.view)
    columns, rows = view.make(session, tenant_id, asked)
    return Table(view.title, days_in_words(asked), columns, list(rows))


def title_of(asked: Asked) -> str:
    """Say what a report shows."""
    return (VIEWS[asked.kind].get(asked.view) or _words(asked.view)).title


def days_in_words(asked: Asked) -> str:
    """Say of which days a report is; what is of an instant is so at the end of the last."""
    first, last = asked.span.first, asked.span.last
    view = VIEWS[asked.kind].get(asked.view)
    if first == last or (view and view.is_of_instant):
        return f"{last:%-d %b %Y}"
    return f"{first:%-d %b %Y} to {last:%-d %b %Y}"


def _zone(kind: str, name: str) -> ZoneInfo | None:
    """The zone that is asked for. Days on which somebody was active are counted in the tenant's own."""
    if name and not zones.exists(name):
        raise Invalid([FieldError("zone", "Must be the name of a time zone, such as Europe/Berlin.")])
    return ZoneInfo(name) if name and kind != ACTIVITY else None


def _day(name: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Invalid([FieldError(name, "Must be a day such as 2026-02-14.")]) from None


def _is_dimension(session: Session, tenant_id: int, kind: str, view: str) -> bool:
    key = view.removeprefix(METADATA)
    return kind == ROLL_FORWARD and view.startswith(METADATA) and _number_of(session, tenant_id, key) is not None


def _or_metadata(kind: str) -> str:
    return f", or {METADATA} with the name of a dimension" if kind == ROLL_FORWARD else ""


def _number_of(session: Session, tenant_id: int, key: str) -> int | None:
    return next((each.number for each in dimensions.ready(session, tenant_id) if each.metadata_key == key), None)


def _movements(sums: Sums) -> tuple[int, ...]:
    return (sums.award_points, sums.award_reversal_points, sums.deduct_points, sums.deduct_reversal_points)


def _of_tenant(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    columns = (*_PERIOD, Column("opening", int), *_MOVEMENTS, Column("closing", int))
    found = roll_forward.of_tenant(session, tenant_id, asked.span)
    return columns, ((*row.period, row.opening, *_movements(row.sums), row.closing) for row in found)


def _by_tier(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    columns = (
        *(Column("tier", str), Column("opening", int), *_MOVEMENTS, Column("moved_in", int), Column("moved_out", int)),
        *(Column("closing", int), Column("participants_before", int), Column("came", int), Column("went", int)),
        Column("participants_after", int),
    )
    found = roll_forward.by_tier(session, tenant_id, asked.span)
    return columns, (
        (_name(row.tier), row.opening, *_movements(row.sums), row.moved_in, row.moved_out, *row[6:]) for row in found
    )


def _by_key(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    found = roll_forward.by_key(session, tenant_id, asked.span)
    return (Column("api_key", str), Column("api_key_name", str), *_MOVED), (
        (OTHERS if group.is_rest else group.prefix, group.name, *_moved(group)) for group in found
    )


def _by_reason(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    return _groups("reason", roll_forward.by_word(session, tenant_id, asked.span, dimension=REASONS))


def _by_metadata(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    number = _number_of(session, tenant_id, asked.view.removeprefix(METADATA))
    if number is None:  # it was one when this was asked for
        raise Invalid([FieldError("by", "Is no dimension of reports.")])
    return _groups(asked.view, roll_forward.by_word(session, tenant_id, asked.span, dimension=number))


def _groups(name: str, found: Sequence[Group]) -> tuple[Sequence[Column], Iterator[Row]]:
    return (Column(name, str), *_MOVED), ((OTHERS if group.is_rest else group.name, *_moved(group)) for group in found)


def _moved(group: Group) -> tuple[int, ...]:
    return (*_movements(group.sums), group.sums.net, group.sums.entry_count)


def _liability_by_tier(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    found = liability.of(session, tenant_id, asked.span)
    currency = found.cost.currency if found.cost else None
    columns = (
        *(Column("day", date), Column("tier", str), _PARTICIPANTS, _POINTS),
        *(Column("cost", Decimal), Column("currency", str)),
    )
    return columns, (
        (found.day, _name(each.tier), each.participant_count, each.points, found.cost_of(each.points), currency)
        for each in found.tiers
    )


def _liability_by_age(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    begun = age_steps.begin(session, asked.span.last, asked.span.zone)
    done = age_steps.go_on(session, tenant_id, begun, seconds=inf)  # a minute for a million participants: nobody waits for files
    at = costs.on(session, tenant_id, done.day)
    columns = (
        *(Column("day", date), Column("older_than_days", int), Column("up_to_days", int), _POINTS),
        *(Column("cost", Decimal), Column("currency", str)),
    )
    return columns, (
        (done.day, *band, points, points * at.cost if at else None, at.currency if at else None)
        for band, points in zip(BANDS, done.ages.points, strict=True)
    )


def _liability_over_time(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    found = liability.over_time(session, tenant_id, asked.span)
    return (Column("day", date), _POINTS, Column("cost", Decimal)), iter(found)


def _liability_rates(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    found = liability.of(session, tenant_id, asked.span)
    columns = (
        *(Column("day", date), _POINTS, Column("cost", Decimal), Column("currency", str), Column("earned", int)),
        *(Column("redeemed", int), Column("redemption_rate", float), Column("matured", int)),
        *(Column("breakage_rate", float), Column("breakage", int)),
    )
    currency = found.cost.currency if found.cost else None
    said: Row = (found.day, found.points, found.amount, currency, found.earned, found.redeemed, found.redemption_rate)
    return columns, iter([(*said, found.matured, found.breakage_rate, found.breakage)])


def _distribution(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    standings = roll_forward.standings(session, tenant_id, asked.span)[1:]
    order = roll_forward.tiers_in_order(session, tenant_id, {number for each in standings for number in each})
    return (Column("day", date), Column("tier", str), _PARTICIPANTS, _POINTS), (
        (each.last, _name(tier), *standing.get(number, (0, 0)))
        for each, standing in zip(asked.span.periods, standings, strict=True)
        for number, tier in order
    )


def _flows(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    found = roll_forward.flows(session, tenant_id, asked.span)
    numbers = {number for flow in found for number in (flow.tier_from, flow.tier_to)} - {NOBODY}
    names = {number: _name(tier) for number, tier in roll_forward.tiers_in_order(session, tenant_id, numbers)}
    names[NOBODY] = "(new)"
    return (*_FROM_TO, _PARTICIPANTS, _POINTS), (
        (names[flow.tier_from], names[flow.tier_to], flow.participant_count, flow.points) for flow in found
    )


def _rises(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    known = ladder.known(session, tenant_id)
    quartiles = ("lower_quartile", "median", "upper_quartile")
    found = rises.newest(session, tenant_id, asked.span).rises
    return (*_FROM_TO, Column("number", int), *(Column(f"{name}_days", float) for name in quartiles)), (
        (
            *(_name(known.get(number)) for number in (rise.tier_from, rise.tier_to)),
            rise.number,
            *(round(getattr(rise, name), 3) for name in quartiles),
        )
        for rise in found
    )


def _active(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    return (Column("from", date), _PARTICIPANTS), iter(activity.active(session, tenant_id, asked.span))


def _cohorts(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    found = activity.cohorts(session, tenant_id, asked.span)
    columns = (Column("first_month", date), Column("months_later", int), Column("size", int), Column("active", int))
    return columns, ((each.month, later, each.size, active) for each in found for later, active in enumerate(each.active))


def _award_sizes(session: Session, tenant_id: int, asked: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    return _bars("awards", activity.award_sizes(session, tenant_id, asked.span))


def _balances(session: Session, tenant_id: int, _: Asked) -> tuple[Sequence[Column], Iterator[Row]]:
    return _bars("participants", activity.balances(session, tenant_id))


def _bars(counted: str, found: Sequence[Bar]) -> tuple[Sequence[Column], Iterator[Row]]:
    return (Column("at_least", int), Column("below", int), Column(counted, int), _POINTS), (tuple(bar) for bar in found)


def _name(tier: Tier | None) -> str:
    return tier.name if tier else "(no tier)"


class View(NamedTuple):
    """One way to look at a kind of report."""

    title: str
    make: Make
    is_of_instant: bool = False


# By kind and name; the first of a kind is the usual one.
VIEWS: dict[str, dict[str, View]] = {
    ROLL_FORWARD: {
        TENANT: View("Roll-forward", _of_tenant),
        BY_TIER: View("Roll-forward by tier", _by_tier),
        BY_KEY: View("Movements by API key", _by_key),
        BY_REASON: View("Movements by reason", _by_reason),
    },
    LIABILITY: {
        "tiers": View("Liability by tier", _liability_by_tier, is_of_instant=True),
        "ages": View("Liability by age", _liability_by_age, is_of_instant=True),
        "course": View("Liability over time", _liability_over_time),
        "rates": View("Redemption and breakage", _liability_rates, is_of_instant=True),
    },
    TIERS: {
        "distribution": View("Participants by tier", _distribution),
        "movements": View("Movements between tiers", _flows),
        "rises": View("Time to the next tier", _rises),
    },
    ACTIVITY: {
        "active": View("Active participants", _active),
        "cohorts": View("Cohorts", _cohorts),
        "award-sizes": View("Sizes of awards", _award_sizes),
        "balances": View("Balances", _balances, is_of_instant=True),
    },
}


def _words(view: str) -> View:
    return View(f"Movements by {view}", _by_metadata)
