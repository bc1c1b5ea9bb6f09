"""What each report tells of some days; called in one snapshot, all of it is of one moment."""

from datetime import date
from typing import Any

from sqlalchemy.orm import Session

from gamify.api import report_shapes as shapes
from gamify.api.report_shapes import Shape
from gamify.errors import BeingPrepared, FieldError, Invalid
from gamify.services import ladder
from gamify.services.reports import activity, costs, dimensions, liability, rises, roll_forward
from gamify.services.reports.roll_forward import BY_KEY, BY_REASON, BY_TIER, METADATA, TENANT
from gamify.services.reports.span import BEGINS, Span
from gamify.services.rollup_parts import REASONS


def rolled_forward(session: Session, tenant_id: int, span: Span, *, by: str) -> Shape:
    """Return a roll-forward. Raises `Invalid` naming `by`, and `BeingPrepared`."""
    if by == TENANT:
        return shapes.show_rows(roll_forward.of_tenant(session, tenant_id, span))
    if by == BY_TIER:
        return shapes.show_tier_rows(roll_forward.by_tier(session, tenant_id, span))
    if by == BY_KEY:
        return shapes.show_groups(roll_forward.by_key(session, tenant_id, span), are_keys=True)
    number = REASONS if by == BY_REASON else _dimension(session, tenant_id, by.removeprefix(METADATA))
    return shapes.show_groups(roll_forward.by_word(session, tenant_id, span, dimension=number), are_keys=False)


def owed(session: Session, tenant_id: int, span: Span, *, as_of: date) -> Shape:
    """Return the liability at the end of a day, and its course over a span."""
    found = liability.of(session, tenant_id, Span(as_of, as_of, "day", span.zone))
    course = [(row.period, row.closing) for row in roll_forward.of_tenant(session, tenant_id, span)]
    return {**shapes.show_liability(found), "course": shapes.show_course(course, costs.listed(session, tenant_id))}


def of_tiers(session: Session, tenant_id: int, span: Span) -> Shape:
    """Return who was on which tier, who moved, and how long it took them to rise."""
    standings = roll_forward.standings(session, tenant_id, span)
    order = roll_forward.tiers_in_order(session, tenant_id, set().union(*standings))
    known = ladder.known(session, tenant_id)
    before, *after = [shapes.show_standing(order, standing) for standing in standings]
    return {
        "before": before,
        "distribution": [{**shapes.days(period), "tiers": tiers} for period, tiers in zip(span.periods, after, strict=True)],
        "flows": [shapes.show_flow(flow, known) for flow in roll_forward.flows(session, tenant_id, span)],
        "rises": shapes.show_rises(rises.newest(session, tenant_id, span), known),
    }


def done(session: Session, tenant_id: int, span: Span) -> Shape:
    """Return what participants did; the days must be those of the tenant's own zone."""
    whole = Span(BEGINS[span.unit](span.first), span.last, span.unit, span.zone)
    active = zip(whole.periods, activity.active(session, tenant_id, span), strict=True)
    reasons = roll_forward.by_word(session, tenant_id, span, dimension=REASONS)
    keys = roll_forward.by_key(session, tenant_id, span)
    return {
        "active": [{**shapes.days(period), "participants": count} for period, (_, count) in active],
        "cohorts": [shapes.show_cohort(cohort) for cohort in activity.cohorts(session, tenant_id, span)],
        "award_sizes": [bar._asdict() for bar in activity.award_sizes(session, tenant_id, span)],
        "reasons": [shapes.show_group(group, is_key=False) for group in reasons],
        "keys": [shapes.show_group(group, is_key=True) for group in keys],
    }


def balances(session: Session, tenant_id: int) -> list[dict[str, Any]]:
    """Return how many participants have balances of each size now."""
    return [bar._asdict() for bar in activity.balances(session, tenant_id)]


def _dimension(session: Session, tenant_id: int, key: str) -> int:
    found = next((each for each in dimensions.listed(session, tenant_id) if each.metadata_key == key), None)
    if found is None:
        raise Invalid([FieldError("by", f"{METADATA}{key} is no dimension of your reports; an admin can declare it.")])
    if not found.is_ready:
        raise BeingPrepared(f"Reports by {METADATA}{key} are")
    return found.number
