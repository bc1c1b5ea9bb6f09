"""What the draft of the tiers would do, for everybody who may see tiers."""

from collections.abc import Generator, Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request, url_for
from gamify.db import Database
from gamify.deployment import database, deployment
from gamify.services import drafts, ladder, previews, spreadsheet
from gamify.services.drafts import Content
from gamify.services.previews import Moves
from gamify.services.tiers import Policy
from sqlalchemy.orm import Session

from dashboard import files, htmx, tier_effect, tier_tally
from dashboard.guard import allows, now
from dashboard.tenancy import here, reading

PARTIALS = {"effect": "tiers/_effect.html", "movers": "tiers/_movers.html", "more": "tiers/_more_movers.html"}
COLUMNS = ("participant_id", "points", "tier_before", "tier_after", "direction", "is_kept", "is_pinned")

bp = Blueprint("preview", __name__, url_prefix="/dashboard/tiers")


@bp.get("/preview")
@allows("tiers:read")
def index() -> Response:
    """Show who would move, from data as they are."""
    has_figures = htmx.target() not in ("movers", "more")
    with reading() as session:
        draft = drafts.of(session, here().id)
        values = shown(session, draft.content, request.args, has_figures=has_figures)
    return htmx.render("tiers/preview.html", partials=PARTIALS, draft=draft, **values)


@bp.get("/preview.csv")
@allows("reports:export")
def download() -> Response:
    """Send everybody who would move."""
    policy, asked = tier_effect.policy_of(request.args), tier_effect.asked(request.args)
    return files.send("tier-changes.csv", _lines(database(), here().id, policy, asked, now()), whose=here().id)


def shown(session: Session, content: Content, args: Mapping[str, str], *, has_figures: bool = True) -> dict[str, Any]:
    """What the templates of a preview need. There is nothing to show of a draft that could not be published as it is."""
    policy, asked = tier_effect.policy_of(args), tier_effect.asked(args)
    given = {"falling": policy.falling, "direction": asked.direction, "before": asked.before, "after": asked.after}
    values: dict[str, Any] = {"policy": policy, "asked": asked, "given": given, "effect": None, "movers": None, "token": None}
    if drafts.problems(content):
        return values
    values["drafted"] = {rung.code for rung in content.rungs}
    values["looks"] = tier_effect.looks(content, ladder.known(session, here().id).values())
    if has_figures:
        values |= _figures(session, content, policy, args.get("so_far"))
    if values["token"] is None:
        cursor = args.get("cursor")
        values["movers"] = tier_effect.movers(session, here().id, content, policy, asked, now=now(), cursor=cursor)
    return values


def _figures(session: Session, content: Content, policy: Policy, token: str | None) -> dict[str, Any]:
    vault = deployment().vault
    so_far = tier_tally.unseal(vault, here().id, token) if token else None
    effect = tier_effect.effect(session, here().id, content, policy, now=now(), so_far=so_far)
    return {"effect": effect, "token": tier_tally.seal(vault, here().id, effect.rest, now=now()) if effect.rest else None}


@bp.app_template_global("preview_address")
def address(given: Mapping[str, str | None], **others: str | None) -> str:
    """Where a preview is, with other parameters."""
    return url_for("preview.index", **{**given, **others})  # type: ignore[arg-type]  # what is None is left out


def _lines(database: Database, tenant_id: int, policy: Policy, moves: Moves, at: datetime) -> Generator[str]:
    with database.snapshot(tenant_id) as session:
        content = drafts.of(session, tenant_id).content
        found = previews.every_mover(session, tenant_id, content, policy, now=at, moves=moves)
        yield from spreadsheet.lines(COLUMNS, ((*each[:5], int(each.is_kept), int(each.is_pinned)) for each in found))
