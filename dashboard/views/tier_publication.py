"""Publishing the draft of the tiers: when, what becomes of those who would fall, and why."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from flask import Blueprint, Response, flash, request, url_for
from gamify.deployment import database, deployment
from gamify.errors import FieldError, Invalid
from gamify.services import drafts, ladder, period, publishing
from gamify.services.bounds import LONGEST_REASON
from gamify.services.drafts import Content
from gamify.services.tiers import Policy
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as Answer

from dashboard import htmx, tier_effect, tier_tally, tier_words
from dashboard.forms import Form, sent
from dashboard.guard import actor, allows, lead_to, now
from dashboard.tenancy import here, reading, zone
from dashboard.tier_effect import Effect

AT = "at"  # the choice of a time of one's own
WHEN = {
    "now": ("Now, everybody", "Everybody is placed anew in the background, while awards go on."),
    "next_award": ("At each participant's next award", "Nobody moves until they earn points again."),
    AT: ("At a set time", "The draft stays as it is until then, and then everybody is placed anew."),
}
FALLING = {
    "keep": (
        "Keep their tier",
        "Until they have earned as much by the new thresholds. Of a tier that is gone, people go to the one below.",
    ),
    "keep_until": ("Keep it until a date", "After that day they stand where their points lead."),
    "move_down": ("Move down", "Everybody stands where their points lead, down too."),
}
WORDS = {"when": WHEN, "falling": FALLING, "longest_reason": LONGEST_REASON}

bp = Blueprint("publication", __name__, url_prefix="/dashboard/tiers")


class Choices(NamedTuple):
    """How to publish."""

    policy: Policy
    at: datetime | None


@bp.get("/publish")
@allows("tiers:write", fresh=True)
def ask() -> Response:
    """Ask how to publish, and tell what that would do."""
    form = Form({"effect": "now", "falling": "keep"} | request.args.to_dict())
    return _show(form)


@bp.post("/publish")
@allows("tiers:write", fresh=True)
def publish() -> Answer:
    """Publish the draft that was shown."""
    form = sent()
    with form.showing():
        chosen = _read(form.values)
        with database().transaction(here().id) as session:
            made = publishing.publish(
                session,
                here().id,
                revision=request.form.get("revision", 0, type=int),
                policy=chosen.policy,
                reason=form.get("reason").strip() or None,
                actor=actor(),
                at=chosen.at,
            )
        if made:
            publishing.finish_soon(database(), here().id)
        deployment().rollups.touch(here().id)
        return lead_to(url_for("tiers.index", published=made.version if made else None))
    return _show(form)


@bp.post("/cancel")
@allows("tiers:draft")
def cancel() -> Answer:
    """Let the draft wait for nothing: it is not published by itself any more."""
    with database().transaction(here().id) as session:
        publishing.cancel(session, here().id, actor=actor())
    flash("The publication is cancelled. The draft is still there.")
    return lead_to(url_for("tiers.index"))


def _show(form: Form) -> Response:
    with reading() as session:
        draft, newest = drafts.of(session, here().id), ladder.newest(session, here().id)
        old = drafts.content_of(newest, ladder.in_force(session, here().id))
        effect, refused = _effect(session, form, draft.content)
    rest = effect.rest if effect else None
    return htmx.render(
        "tiers/publish.html",
        partials={"summary": "tiers/_summary.html"},
        status=form.status,
        form=form,
        draft=draft,
        chosen=form.values,
        effect=effect,
        refused=refused,
        token=tier_tally.seal(deployment().vault, here().id, rest, now=now()) if rest else None,
        changes=publishing.difference(old.rungs, draft.content.rungs),
        counts_anew=tier_words.counted_anew(newest, draft.content.qualification),
        **WORDS,
    )


def _effect(session: Session, form: Form, content: Content) -> tuple[Effect | None, list[str]]:
    """What the choices would do; or why the draft cannot be published like that."""
    try:
        policy, token = _read(form.values).policy, request.args.get("so_far")
        so_far = tier_tally.unseal(deployment().vault, here().id, token) if token else None
        return tier_effect.effect(session, here().id, content, policy, now=now(), so_far=so_far), []
    except Invalid as error:
        return None, [each.message for each in error.errors]


def _read(values: Mapping[str, str]) -> Choices:
    """What was chosen. Raises `Invalid` for all that cannot be."""
    effect, falling = values.get("effect", ""), values.get("falling", "")
    errors = []
    if effect not in WHEN:
        errors.append(FieldError("effect", "Choose one of these."))
    if falling not in FALLING:
        errors.append(FieldError("falling", "Choose one of these."))
    at = _time(values.get("at", ""), errors) if effect == AT else None
    kept_until = _end_of_day(values.get("kept_until", ""), errors) if falling == "keep_until" else None
    if errors:
        raise Invalid(errors)
    return Choices(Policy("now" if effect == AT else effect, falling, kept_until), at)


def _time(written: str, errors: list[FieldError]) -> datetime | None:
    """A time of the tenant's zone."""
    try:
        at = datetime.fromisoformat(written)
        at = at.replace(tzinfo=zone()) if at.tzinfo is None else at
    except (ValueError, OverflowError):
        errors.append(FieldError("at", "Give a day and a time."))
        return None
    if at <= now():
        errors.append(FieldError("at", "Must not lie in the past."))
    return at


def _end_of_day(written: str, errors: list[FieldError]) -> datetime | None:
    try:
        _, end = period.days(None, date.fromisoformat(written), zone())
    except (ValueError, OverflowError):
        end = None
    if end is None:
        errors.append(FieldError("kept_until", "Give a day, such as 2027-02-14."))
    elif end <= now():
        errors.append(FieldError("kept_until", "Must not lie in the past."))
    return end
