"""What the address of a report asks for: days, a unit, a zone, what to compare with, and what to break down by."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from gamify.errors import FieldError, Invalid
from gamify.models import Dimension
from gamify.services import zones
from gamify.services.reports import days, roll_forward
from gamify.services.reports.span import AGAINST, Period, Span

FIELDS = ("period", "from", "to", "unit", "zone", "compare", "by")
PERIODS = {
    "last_7_days": "Last 7 days",
    "last_30_days": "Last 30 days",
    "last_90_days": "Last 90 days",
    "this_month": "This month",
    "last_month": "Last month",
    "this_year": "This year",
    "all": "All time",
}
USUAL = "last_30_days"
UNIT_NAMES = {"day": "Days", "week": "Weeks", "month": "Months"}
COMPARISONS = {"previous": "Period before", "year": "Year before"}
GROUPS = {roll_forward.BY_TIER: "Tier", roll_forward.BY_KEY: "API key", roll_forward.BY_REASON: "Reason"}
EARLIEST, LATEST = date(1970, 1, 1), date(2200, 12, 31)
BAD_DAY = f"Must be a day such as 2026-02-14, from {EARLIEST.year} to {LATEST.year}."


@dataclass
class Asked:
    """A report as asked for (`values`), what that means, and what is wrong with it (then `span` is none)."""

    values: dict[str, str]
    home: ZoneInfo  # the tenant's
    now: datetime
    dimensions: Sequence[Dimension] = ()
    span: Span | None = None
    against: Span | None = None
    dimension: Dimension | None = None
    errors: dict[str, str] = field(default_factory=dict)
    is_zoned: bool = True  # whether its days can be those of another zone than the tenant's
    ages: str = ""  # how far the ages of points are counted, sealed; no link but that of the next step has it

    @property
    def by(self) -> str:
        """What the roll-forward is broken down by; empty: by nothing, period by period."""
        return self.values.get("by", "")

    @property
    def chosen(self) -> str:
        """The name of the period, if it is one that has a name."""
        return self.values.get("period") or ("" if {"from", "to"} & self.values.keys() else USUAL)

    @property
    def is_at_home(self) -> bool:
        """Whether its days are the tenant's own, as those of the ledger are."""
        return self.span is None or str(self.span.zone) == str(self.home)

    def without(self, *names: str) -> dict[str, str]:
        """The address's parameters without some of them."""
        return {name: value for name, value in self.values.items() if name not in names}

    def check(self) -> Span:
        """Return the span; raise `Invalid` if anything is wrong."""
        if self.errors or self.span is None:
            raise Invalid([FieldError(*error) for error in self.errors.items()])
        return self.span

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Keep what is wrong for the page, by field."""
        try:
            yield
        except Invalid as error:
            self.errors |= {each.field: each.message for each in error.errors}


def given(arguments: Mapping[str, str]) -> dict[str, str]:
    """Return what an address says that is not empty, and not the usual."""
    values = {name: arguments[name].strip() for name in FIELDS if arguments.get(name, "").strip()}
    if "from" in values or "to" in values or values.get("period") == USUAL:
        values.pop("period", None)
    return values


def read(
    arguments: Mapping[str, str],
    *,
    zone: ZoneInfo,
    now: datetime,
    dimensions: Sequence[Dimension],
    beginning: datetime | None,
    is_zoned: bool = True,
) -> Asked:
    """Understand an address. Nothing raises: what is wrong stands in `errors`.

    `beginning` is when the ledger begins, if it has.
    """
    asked = Asked(given(arguments), zone, now, dimensions, is_zoned=is_zoned, ages=arguments.get("ages", ""))
    with asked.noting():
        _choose_group(asked)
    compare = asked.values.get("compare")
    if compare and compare not in AGAINST:
        asked.errors["compare"] = f"Must be one of {', '.join(AGAINST)}."
    of = zone
    with asked.noting():
        of = _zone(asked)
    with asked.noting():
        asked.span = _span(asked, of, beginning)
    if asked.span and compare in AGAINST:
        asked.against = asked.span.before(compare)
    if asked.errors:
        asked.span = None
    return asked


def in_words(span: Period | Span) -> str:
    """1 Nov to 30 Nov 2026."""
    if span.first == span.last:
        return f"{span.first:%-d %b %Y}"
    is_one_year = span.first.year == span.last.year
    return f"{span.first:{'%-d %b' if is_one_year else '%-d %b %Y'}} to {span.last:%-d %b %Y}"


def _choose_group(asked: Asked) -> None:
    by = asked.by
    if not by or by in GROUPS:
        return
    key = by.removeprefix(roll_forward.METADATA)
    asked.dimension = next((each for each in asked.dimensions if each.metadata_key == key != by), None)
    if asked.dimension is None:
        raise Invalid([FieldError("by", "Is nothing that reports are broken down by.")])
    if not asked.dimension.is_ready:
        raise Invalid([FieldError("by", f"{key} is being prepared; it can be chosen in a while.")])


def _zone(asked: Asked) -> ZoneInfo:
    name = asked.values.get("zone")
    if name == str(asked.home):
        del asked.values["zone"]
        return asked.home
    if name and not zones.exists(name):
        raise Invalid([FieldError("zone", "Must be the name of a time zone, such as Europe/Berlin.")])
    return ZoneInfo(name) if name and asked.is_zoned else asked.home


def _span(asked: Asked, zone: ZoneInfo, beginning: datetime | None) -> Span:
    errors: list[FieldError] = []
    first, last = (_day(asked.values.get(name), name, errors) for name in ("from", "to"))
    if errors:
        raise Invalid(errors)
    unit = asked.values.get("unit")
    return days.span(beginning=beginning, name=asked.chosen, first=first, last=last, unit=unit, zone=zone, now=asked.now)


def _day(text: str | None, name: str, errors: list[FieldError]) -> date | None:
    if not text:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or not EARLIEST <= found <= LATEST:
        errors.append(FieldError(name, BAD_DAY))
    return found
