"""The overview: a tenant at a glance."""

from datetime import date
from typing import Any

from flask import Blueprint, request, url_for
from gamify.deployment import database
from gamify.errors import Invalid
from gamify.services import attention, entries, overview, period
from gamify.services.attention import Attention
from gamify.services.entries import Filter
from gamify.services.overview import Overview
from werkzeug.wrappers import Response

from dashboard.guard import allows, lead_to, may, now
from dashboard.htmx import is_partial, render, target
from dashboard.tenancy import here, reading, zone
from dashboard.tier_chart import spread

NEWEST = 10  # entries
PERIODS = {
    "last_7_days": "7 days",
    "last_30_days": "30 days",
    "last_90_days": "90 days",
    "this_month": "This month",
    "this_year": "This year",
}
USUAL = "last_30_days"

bp = Blueprint("home", __name__, url_prefix="/dashboard")


@bp.get("/")
@allows("account")
def index() -> Response:
    """Show the overview; to operators, who have no tenant, the list of tenants."""
    if not may("ledger:read"):
        return lead_to(url_for("tenants.index"))
    newest = entries.search(database(), here().id, Filter(), before=None, limit=NEWEST).entries
    if is_partial() and target() == "newest":
        return _render(newest=newest)
    chosen = request.args.get("period", USUAL)
    try:
        first, last = _days(chosen)
    except Invalid:
        return lead_to(url_for(".index"))
    with reading() as session:
        found = overview.of(session, here().id, first=first, last=last, zone=zone(), now=now())
        needs = attention.of(session, here(), now=now()) if may("keys:read") else None
    return _render(
        newest=newest,
        chosen=chosen,
        found=found,
        needs=needs,
        per_day=_per_day(found),
        share_of=spread(found.standings, kind="doughnut"),
    )


def _days(chosen: str) -> tuple[date, date]:
    today = now().astimezone(zone()).date()
    first, last = period.preset(chosen, zone=zone(), now=now())
    return first or today, last or today


def _per_day(found: Overview) -> dict[str, object]:
    """The chart of what was awarded and deducted each day."""
    return {
        "type": "bar",
        "unit": "points",
        "labels": [f"{each.day:%-d %b}" for each in found.days],
        "series": [
            {"label": "Awarded", "data": [each.sums.awarded for each in found.days], "tone": "accent"},
            {"label": "Deducted", "data": [each.sums.deducted for each in found.days], "tone": "watch"},
        ],
    }


def _render(
    newest: object,
    *,
    chosen: str = USUAL,
    found: Overview | None = None,
    needs: Attention | None = None,
    **charts: Any,
) -> Response:
    return render(
        "overview/index.html",
        partials={"newest": "overview/_newest.html"},
        newest=newest,
        chosen=chosen,
        periods=PERIODS,
        found=found,
        needs=needs,
        change=overview.change,
        **charts,
    )
