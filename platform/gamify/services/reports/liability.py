"""Liability: what the points cost that have been earned and not been redeemed yet, as of the end of any day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy.orm import Session

from gamify.models import PointCost, Tier
from gamify.services import figures
from gamify.services.measures import BEGINNING
from gamify.services.reports import costs, roll_forward
from gamify.services.reports.span import Span

MATURITY = 365  # days after which what is still outstanding is taken for breakage


class OfTier(NamedTuple):
    """What participants of a tier (None: of none) hold."""

    number: int
    tier: Tier | None
    participant_count: int
    points: int


@dataclass(frozen=True, slots=True)
class Liability:
    """What is outstanding at an instant, and what follows from it. Rates are shares of 1; None where nothing was awarded."""

    day: date
    points: int
    cost: PointCost | None
    tiers: Sequence[OfTier]
    earned: int  # all awards before it, less those reversed
    redeemed: int  # all deducts before it, less those given back
    matured: int  # of `earned`, what was earned more than `MATURITY` days before

    @property
    def amount(self) -> Decimal | None:
        """What the points cost, in the cost's currency; None without one."""
        return self.cost_of(self.points)

    @property
    def redemption_rate(self) -> float | None:
        """The share of all points earned that are redeemed: redeemed / earned."""
        return self.redeemed / self.earned if self.earned > 0 else None

    @property
    def breakage_rate(self) -> float | None:
        """What was earned long ago and is not redeemed by now: max(0, matured - redeemed) / matured.

        Who redeems spends the oldest points first, so no more than this can be left of them.
        """
        return max(0, self.matured - self.redeemed) / self.matured if self.matured > 0 else None

    @property
    def breakage(self) -> int | None:
        """Points of those outstanding that are not expected to be redeemed: points * breakage rate, rounded down."""
        return int(self.points * self.breakage_rate) if self.breakage_rate is not None else None

    def cost_of(self, points: int) -> Decimal | None:
        """What so many points cost on that day."""
        return points * self.cost.cost if self.cost else None


def of(session: Session, tenant_id: int, span: Span) -> Liability:
    """Return the liability at the end of a span's last day; of one that is not over, now."""
    day = Span(span.last, span.last, "day", span.zone)
    matured_until = span.begin_of(span.last - timedelta(days=MATURITY - 1))
    long_ago, since = figures.between(session, tenant_id, [BEGINNING, matured_until, span.until])
    ever = long_ago + since
    standing = roll_forward.standings(session, tenant_id, day)[-1]
    tiers = [
        OfTier(number, tier, *standing.get(number, (0, 0)))
        for number, tier in roll_forward.tiers_in_order(session, tenant_id, set(standing))
    ]
    cost = costs.on(session, tenant_id, span.last)
    return Liability(span.last, ever.net, cost, tiers, ever.awarded, ever.deducted, long_ago.awarded)


def over_time(session: Session, tenant_id: int, span: Span) -> Sequence[tuple[date, int, Decimal | None]]:
    """Return what was outstanding at the end of each period, and what it cost by the cost of that day."""
    rows = roll_forward.of_tenant(session, tenant_id, span)
    found = costs.listed(session, tenant_id)
    at_ends = ((row, costs.valid(found, row.period.last)) for row in rows)
    return [(row.period.last, row.closing, row.closing * cost.cost if cost else None) for row, cost in at_ends]
