"""Tables of reports: the same cells for the page, where they lead to the entries behind them, and for files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode

from flask import url_for
from gamify.models import PointCost, Tier
from gamify.services.figures import Sums
from gamify.services.ledger_actors import NO_KEY
from gamify.services.reports.roll_forward import Group
from gamify.services.reports.span import A_DAY, Period, Span

from dashboard.formats import days, money, number, percent, signed
from dashboard.ledger_query import NO_TIER
from dashboard.report_query import Asked, in_words

Filters = Mapping[str, str]  # parameters of an address

NO_FILTERS: Filters = {}
NUMBERS = ("number", "signed", "percent", "money", "days", "heat")
LONGEST_LABEL = 28  # letters
HIDDEN = "hidden"
NOTHING = "–"  # noqa: RUF001  # nothing there
ALL_OTHERS, NO_TIER_NAME = "(all others)", "(no tier)"


class Column(NamedTuple):
    """A column by its name in files and its label on the page; `form` is how the page writes its cells."""

    name: str
    label: str
    form: str = "number"

    @property
    def is_number(self) -> bool:
        """Whether it is set to the right."""
        return self.form in NUMBERS


class Cell(NamedTuple):
    """A value as files have it; what the page shows in its place, if that is something else; and where it leads."""

    value: Any
    shown: Any = None
    link: str = ""


class Table(NamedTuple):
    """A table; rows at its foot are on the page alone. Its file may need more in its address than the page: `for_file`."""

    name: str
    label: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    foot: Sequence[Sequence[Cell]] = ()
    note: str = ""
    for_file: Filters = NO_FILTERS

    @property
    def shown_columns(self) -> list[Column]:
        """Those that the page has."""
        return [column for column in self.columns if column.form != HIDDEN]

    def shown(self, row: Sequence[Cell]) -> list[tuple[Column, Cell]]:
        """The cells of a row that the page has."""
        return [pair for pair in zip(self.columns, row, strict=True) if pair[0].form != HIDDEN]

    @property
    def header(self) -> list[str]:
        """The names of columns, for files."""
        return [column.name for column in self.columns]

    @property
    def lines(self) -> Iterator[list[Any]]:
        """What files hold."""
        return ([cell.value for cell in row] for row in self.rows)


# Movements with their signs in the equation, by the type of their entries.
MOVEMENTS = {
    "award": Column("awarded", "+ Awarded"),
    "award_reversal": Column("reversed", "− Reversed"),  # noqa: RUF001  # a minus
    "deduct": Column("deducted", "− Deducted"),  # noqa: RUF001  # a minus
    "deduct_reversal": Column("given_back", "+ Given back"),
}
OPENING, CLOSING = Column("opening", "Opening"), Column("closing", "= Closing")
PERIOD = (Column("from", "Period", "text"), Column("to", "", HIDDEN))
TIER = Column("tier", "Tier", "tier")
POINTS, AMOUNT = Column("points", "Points"), Column("amount", "Cost", "money")
CURRENCY = Column("currency", "", HIDDEN)  # on the page it stands with the cost


class Drill:
    """Where a figure leads: to the ledger, filtered so that it adds up to the same."""

    def __init__(self, asked: Asked, span: Span) -> None:
        self.asked, self.span = asked, span
        self.is_at_home = asked.is_at_home
        address = url_for("ledger.index")
        self._begin = address + ("&" if "?" in address else "?")

    def __call__(self, period: Period | None = None, filters: Filters = NO_FILTERS) -> str:
        """The address for a period, or for the whole span; days of another zone than the ledger's are instants."""
        first, last = period or Period(self.span.first, self.span.last)
        return self._address({**self._times(first, last), **filters})

    def until(self, last: date) -> str:
        """The address for everything until the end of a day."""
        return self._address({"to": self._times(last, last)["to"]})

    def _times(self, first: date, last: date) -> dict[str, str]:
        if self.is_at_home:
            return {"from": first.isoformat(), "to": last.isoformat()}
        day = Span(first, last, "day", self.span.zone)
        return {"from": f"{day.since:%Y-%m-%dT%H:%M:%SZ}", "to": f"{day.until:%Y-%m-%dT%H:%M:%SZ}"}

    def _address(self, values: dict[str, str]) -> str:
        return self._begin + urlencode(values)


def movements(sums: Sums, drill: Drill | None, period: Period | None = None, filters: Filters = NO_FILTERS) -> list[Cell]:
    """The cells of what entries have moved, each leading to those of its type; without `drill` to nothing."""
    cells = []
    for kind in MOVEMENTS:
        points = getattr(sums, f"{kind}_points")
        cells.append(Cell(points, link=drill(period, {"type": kind, **filters}) if drill and points else ""))
    return cells


def period_cells(period: Period, unit: str, link: str = "") -> list[Cell]:
    """The cells of `PERIOD`."""
    return [Cell(period.first.isoformat(), label(period, unit), link), Cell(period.last.isoformat())]


def label(period: Period, unit: str) -> str:
    """A period as people name it: its day, its month if it is a whole one, else its days."""
    if unit == "day":
        return f"{period.first:%a %-d %b %Y}"
    is_whole = period.first.day == 1 and (period.last + A_DAY).day == 1
    return f"{period.first:%B %Y}" if unit == "month" and is_whole else in_words(period)


def written(column: Column, cell: Cell) -> str:
    """A cell as the page writes it; of a tier, what stands there where there is none."""
    write: dict[str, Callable[[Any], str]] = {"percent": percent, "signed": signed, "number": number, "days": days}
    if column.form in write:
        return NOTHING if cell.value is None else write[column.form](cell.value)
    if column.form == "tier" and cell.value == NO_TIER_NAME:
        return "No tier"
    return str(cell.shown or cell.value or (NOTHING if column.form == "money" else ""))


def short(period: Period, unit: str) -> str:
    """The same for an axis."""
    return f"{period.first:%b %Y}" if unit == "month" else f"{period.first:%-d %b}"


def on_axis(name: str) -> str:
    """As much of a name as there is room for beside a bar."""
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"


def tier_cell(tier: Tier | None, link: str = "") -> Cell:
    """A tier by its name, shown in its colour."""
    return Cell(tier.name if tier else NO_TIER_NAME, tier, link)


def money_cells(amount: Decimal | None, cost: PointCost | None) -> list[Cell]:
    """The cells of `AMOUNT` and `CURRENCY`."""
    if amount is None or cost is None:
        return [Cell(None), Cell("")]
    return [Cell(f"{amount.normalize():f}", money(amount, cost.currency)), Cell(cost.currency)]


def of_tier(tier: Tier | None) -> dict[str, str]:
    """The ledger's filter for movements that found a participant on a tier."""
    return {"tier": tier.code if tier else NO_TIER}


def of_group(group: Group, by: str) -> dict[str, str] | None:
    """The ledger's filter for the entries of a group; None where it has none."""
    if by == "key":
        prefix = NO_KEY if group.key_id == 0 else group.prefix
        return {"key": prefix} if prefix else None
    if group.is_rest:
        return None
    if group.name is None:
        return {"without": by}
    if not group.name.strip():
        return None
    return {"reason": group.name, "match": "exact"} if by == "reason" else {by: group.name}


def group_column(by: str, label: str) -> Column:
    """The column of groups: in files an API key goes by its prefix."""
    return Column("api_key" if by == "key" else by, label, "text")


def group_cell(group: Group, by: str, link: str = "") -> Cell:
    """A group by its name."""
    if group.is_rest:
        return Cell(ALL_OTHERS, "All others together", link)
    if by == "key":
        return Cell(group.prefix or "", group.name or ("An unknown key" if group.key_id else "People, without a key"), link)
    shown = f"Without {'a reason' if by == 'reason' else by.removeprefix('metadata.')}" if group.name is None else group.name
    return Cell(group.name or "", shown, link)
