"""What reports look like in answers."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from gamify.api.transactions import timestamp
from gamify.models import PointCost, Tier
from gamify.services.figures import Sums
from gamify.services.reports import costs
from gamify.services.reports.activity import Cohort
from gamify.services.reports.age_steps import Progress
from gamify.services.reports.ages import BANDS
from gamify.services.reports.liability import Liability
from gamify.services.reports.rises import Rises
from gamify.services.reports.roll_forward import Flow, Group, Row, TierRow
from gamify.services.reports.span import A_DAY, Period, Span
from gamify.services.rollup_parts import NOBODY

OF_TIER = ("opening", "moved_in", "moved_out", "closing", "participants_before", "came", "went", "participants_after")
Shape = dict[str, Any]


def days(period: Period | Span) -> Shape:
    """Return the first day and the last."""
    return {"from": str(period.first), "to": str(period.last)}


def show_rows(rows: Sequence[Row]) -> Shape:
    """Return a roll-forward period by period."""
    shown = [{**days(row.period), "opening": row.opening, **show_sums(row.sums), "closing": row.closing} for row in rows]
    ends = {"opening": rows[0].opening, "closing": rows[-1].closing}
    return {"rows": shown, "totals": {**show_sums(sum((row.sums for row in rows), Sums())), **ends}}


def show_tier_rows(rows: Sequence[TierRow]) -> Shape:
    """Return a roll-forward tier by tier."""
    shown = [
        {"tier": show_tier(row.tier), **show_sums(row.sums), **{name: getattr(row, name) for name in OF_TIER}} for row in rows
    ]
    totals = {name: sum(getattr(row, name) for row in rows) for name in OF_TIER}
    return {"rows": shown, "totals": {**show_sums(sum((row.sums for row in rows), Sums())), **totals}}


def show_groups(groups: Sequence[Group], *, are_keys: bool) -> Shape:
    """Return movements by key or word."""
    shown = [show_group(group, is_key=are_keys) for group in groups]
    return {"rows": shown, "totals": show_sums(sum((group.sums for group in groups), Sums()))}


def show_group(group: Group, *, is_key: bool) -> Shape:
    """Return what a key or a word has moved."""
    which = {"name": group.name, **({"prefix": group.prefix} if is_key else {}), "rest": group.is_rest}
    return {**which, **show_sums(group.sums)}


def show_sums(sums: Sums) -> Shape:
    """Return the middle of the equation, and of how many entries it is."""
    return {
        "awarded": sums.award_points,
        "reversed": sums.award_reversal_points,
        "deducted": sums.deduct_points,
        "given_back": sums.deduct_reversal_points,
        "award_count": sums.award_count,
        "entry_count": sums.entry_count,
    }


def show_tier(tier: Tier | None) -> Shape:
    """Return a tier; None is for those without one."""
    return {"code": tier and tier.code, "name": tier and tier.name}


def show_liability(found: Liability) -> Shape:
    """Return what is outstanding, by tier as well."""
    figures = {
        "as_of": str(found.day),
        "points": found.points,
        "cost": found.cost and money(found.cost.cost),
        **priced(found.points, found.cost),
        **{name: getattr(found, name) for name in ("earned", "redeemed", "matured", "redemption_rate", "breakage_rate")},
        "breakage": found.breakage,
        "breakage_amount": None if found.breakage is None else priced(found.breakage, found.cost)["amount"],
    }
    tiers = [
        {
            "tier": show_tier(each.tier),
            "participants": each.participant_count,
            "points": each.points,
            **priced(each.points, found.cost),
        }
        for each in found.tiers
    ]
    return {"figures": figures, "tiers": tiers}


def show_ages(done: Progress, cost: PointCost | None) -> Shape:
    """Return how old the points are of those who are counted."""
    of_bands = zip(BANDS, done.ages.points, strict=True)
    return {
        "as_of": str(done.day),
        "zone": done.zone,
        "at": timestamp(done.ages.at),
        "outstanding": done.ages.sums[0],
        "cost": cost and money(cost.cost),
        "currency": cost and cost.currency,
        "participants_done": done.ages.done_count,
        "ages": [
            {"older_than_days": least, "up_to_days": most, "points": points, "amount": priced(points, cost)["amount"]}
            for (least, most), points in of_bands
        ],
    }


def show_course(course: Iterable[tuple[Period, int]], found: Sequence[PointCost]) -> list[Shape]:
    """Return what was outstanding at the end of each period, and what it cost on its last day."""
    return [{**days(period), "points": points, **priced(points, costs.valid(found, period.last))} for period, points in course]


def show_standing(order: Sequence[tuple[int, Tier | None]], standing: Mapping[int, tuple[int, int]]) -> list[Shape]:
    """Return who is on each tier, in an order."""
    found = [(tier, *standing.get(number, (0, 0))) for number, tier in order]
    return [{"tier": show_tier(tier), "participants": participants, "points": points} for tier, participants, points in found]


def show_flow(flow: Flow, known: Mapping[int, Tier]) -> Shape:
    """Return who came from a tier to another."""
    is_new = flow.tier_from == NOBODY
    return {
        "from": None if is_new else show_tier(known.get(flow.tier_from)),
        "to": show_tier(known.get(flow.tier_to)),
        "is_new": is_new,
        "participants": flow.participant_count,
        "points": flow.points,
    }


def show_rises(found: Rises, known: Mapping[int, Tier]) -> Shape:
    """Return how long it took from tier to tier."""
    between = [
        {
            "from": show_tier(known.get(rise.tier_from)),
            "to": show_tier(known.get(rise.tier_to)),
            "number": rise.number,
            **{name: round(getattr(rise, name), 3) for name in ("lower_quartile", "median", "upper_quartile")},
        }
        for rise in found.rises
    ]
    return {"is_sample": found.is_sample, "between": between}


def show_cohort(cohort: Cohort) -> Shape:
    """Return who began in a month, and how many of them came back."""
    months, month = [], cohort.month
    for count in cohort.active:
        months.append({"active_in": str(month), "participants": count})
        month = (month + 31 * A_DAY).replace(day=1)
    return {"month": str(cohort.month), "size": cohort.size, "active": months}


def priced(points: int, cost: PointCost | None) -> Shape:
    """Return what points cost."""
    return {"amount": cost and money(points * cost.cost), "currency": cost and cost.currency}


def money(amount: Decimal) -> str:
    """Return an amount with no more digits than it has."""
    return f"{amount.normalize():f}"
