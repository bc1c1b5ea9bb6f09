"""Pins: participants held on a tier by hand."""

from datetime import date, datetime

from flask import Blueprint, Response, flash, render_template, request, url_for
from gamify.deployment import database
from gamify.errors import FieldError, Invalid
from gamify.services import adjustments, holds, ladder, period, profiles
from werkzeug.wrappers import Response as Answer

from dashboard.forms import Form, sent
from dashboard.guard import actor, allows, lead_to, now
from dashboard.tenancy import here, zone
from dashboard.views.participants import show_profile

# Fields as they are called on a page with other forms.
NAMES = {"tier": "pin_tier", "reason": "pin_reason", "expires_at": "pin_last_day"}

bp = Blueprint("pins", __name__, url_prefix="/dashboard")


@bp.post("/pin")
@allows("participants:write")
def pin() -> Answer:
    """Pin somebody to a tier."""
    form, pid = sent(), _pid()
    with form.showing():
        code, reason, until = form.get("pin_tier"), form.get("pin_reason"), _until(form.get("pin_last_day"))
        with database().transaction(here().id) as session:
            holds.pin(session, here().id, pid, code=code, reason=reason, until=until, now=now(), actor=actor())
        flash("The pin is set. Awards do not move it.")
        return lead_to(url_for("participant.profile", pid=pid))
    return _show(pid, form)


@bp.post("/unpin")
@allows("participants:write")
def unpin() -> Answer:
    """Let somebody stand where they have earned to."""
    form, pid = sent(), _pid()
    with form.showing():
        with database().transaction(here().id) as session:
            was_pinned = holds.unpin(session, here().id, pid, reason=form.get("unpin_reason"), actor=actor())
        flash("Unpinned: the tier is what was earned." if was_pinned else "Nobody was pinned here any more.")
        return lead_to(url_for("participant.profile", pid=pid))
    form.errors = {f"un{NAMES[field]}": said for field, said in form.errors.items()}
    return _show(pid, form)


@bp.get("/pin/preview")
@allows("participants:write")
def preview() -> Response:
    """Tell what a pin would lead to, or why not."""
    form = Form()
    with database().transaction(here().id) as session:
        person = profiles.find(session, here().id, _pid())
        held = ladder.place_of(session, here().id, person, now=now()).held
        unpinned = ladder.unpinned(session, here().id, person, now=now())
        tiers = {tier.code: tier for tier in ladder.in_force(session, here().id)}
    until = None
    with form.showing():
        until = _until(request.args.get("pin_last_day", ""))
    tier = tiers.get(request.args.get("pin_tier", ""))
    values = {"tier": tier, "held": held, "unpinned": unpinned, "until": until, "problem": form.errors.get("expires_at")}
    return Response(render_template("participants/_pin_preview.html", **values))


def _show(pid: str, form: Form) -> Response:
    form.errors = {NAMES.get(field, field): said for field, said in form.errors.items()}
    return show_profile(pid, Form({"kind": "award", "key": adjustments.new_key()}), pin_form=form)


def _pid() -> str:
    return request.args.get("participant", "")


def _until(last_day: str) -> datetime | None:
    """The end of a day, as days go in the tenant's zone. Raises `Invalid` naming `expires_at`."""
    if not last_day.strip():
        return None
    try:
        _, until = period.days(None, date.fromisoformat(last_day.strip()), zone())
    except (ValueError, OverflowError) as error:
        raise Invalid([FieldError("expires_at", "Must be a day such as 2027-01-31.")]) from error
    if until is not None and until <= now():
        raise Invalid([FieldError("expires_at", "Must not be over yet.")])
    return until
