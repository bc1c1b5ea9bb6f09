"""The ladder in force, who stands on it and what is under way; and the versions that there have been."""

from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, request
from gamify.deployment import database
from gamify.models import Recalculation
from gamify.services import closeness, drafts, ladder, overview, publishing, recalculations
from sqlalchemy.orm import Session

from dashboard import htmx, tier_words
from dashboard.guard import allows, now
from dashboard.tenancy import here, reading
from dashboard.tier_chart import spread
from dashboard.tier_drawing import Mark, draw
from dashboard.tier_scale import scale_of

PAGE = 20  # versions
LATELY = timedelta(hours=1)  # for so long a recalculation that is finished is worth a line
LEAST_TOLD = 0.02  # of a recalculation that must be done before the rest can be foretold

bp = Blueprint("tiers", __name__, url_prefix="/dashboard/tiers")
bp.add_app_template_filter(tier_words.counted)
bp.add_app_template_filter(tier_words.moves)
bp.add_app_template_global(tier_words.counted_anew)


@bp.get("")
@allows("tiers:read")
def index() -> Response:
    """Show the ladder and its people; a part of it tells how far a recalculation is."""
    if htmx.target() == "state":
        return _progress()
    with reading() as session:
        standings = overview.standings(session, here().id)
        rungs = ladder.in_force(session, here().id)
        steps = closeness.of(session, here().id, rungs)
        values = _state(session)
    marks = [Mark(tier.code, tier.name, tier.tone, tier.threshold) for tier in rungs]
    return htmx.render(
        "tiers/index.html",
        standings=standings,
        rungs=rungs,
        steps=steps,
        total=sum(each.participant_count for each in standings),
        spread=spread(standings, kind="bar"),
        drawing=draw(marks, scale_of([mark.threshold for mark in marks])),
        **values,
    )


@bp.get("/versions")
@allows("tiers:read")
def versions() -> Response:
    """List who has changed the ladder, when, why and how."""
    with database().transaction(here().id) as session:
        found = publishing.versions(session, here().id, before=request.args.get("before", type=int), limit=PAGE + 1)
        newest, draft = ladder.version(session, here().id), drafts.of(session, here().id)
    return htmx.render(
        "tiers/versions.html",
        partials={"more": "tiers/_more_versions.html"},
        versions=found[:PAGE],
        is_more=len(found) > PAGE,
        newest=newest,
        draft=draft,
    )


def _progress() -> Response:
    """How far it is; once it is finished, the whole page is another."""
    with reading() as session:
        values = _state(session)
    answer = htmx.render("tiers/_state.html", **values)
    if values["going_on"] is None:
        answer.headers["HX-Refresh"] = "true"
    return answer


def _state(session: Session) -> dict[str, Any]:
    """What is under way."""
    newest, going_on = ladder.newest(session, here().id), recalculations.going_on(session, here().id)
    last = next(iter(recalculations.latest(session, here().id, most=1)), None)
    is_recent = last is not None and last.finished_at is not None and now() - last.finished_at < LATELY
    return {
        "newest": newest,
        "going_on": going_on,
        "seconds_left": seconds_left(going_on) if going_on else None,
        "finished": last if is_recent else None,
        "waiting_count": recalculations.waiting_count(session, here().id),
        "draft": drafts.of(session, here().id),
        "published": request.args.get("published", type=int),
    }


def seconds_left(going_on: Recalculation) -> int | None:
    """How long the rest takes at the speed so far; None until that can be told."""
    if going_on.done_count < LEAST_TOLD * going_on.total_count or not going_on.done_count:
        return None
    taken = (going_on.advanced_at - going_on.started_at).total_seconds()
    return round(taken * (going_on.total_count - going_on.done_count) / going_on.done_count)
