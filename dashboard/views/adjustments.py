"""Points moved by hand: awarded, deducted, and taken back."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, render_template, request, url_for
from gamify.deployment import database, deployment
from gamify.errors import Conflict, InsufficientPoints, Invalid, NotFound
from gamify.services import adjustments, entries, holds, ladder, profiles
from gamify.services.adjustments import Adjustment
from werkzeug.wrappers import Response as Answer

from dashboard import htmx
from dashboard.forms import Form, sent
from dashboard.guard import actor, allows, lead_to, now
from dashboard.tenancy import here
from dashboard.views.participants import show_profile

REFUSALS = (Invalid, Conflict, InsufficientPoints)

bp = Blueprint("adjustments", __name__, url_prefix="/dashboard")


@bp.get("/adjust")
@allows("participants:write")
def new() -> Answer:
    """Show a form for somebody new; whoever is known has one on their own page."""
    pid = request.args.get("participant", "")
    if pid and _is_known(pid):
        return lead_to(url_for("participant.profile", pid=pid))
    return _show_new(Form({"kind": "award", "participant_id": pid, "key": adjustments.new_key()}))


@bp.post("/adjust")
@allows("participants:write")
def adjust() -> Answer:
    """Award or deduct. The id is in the address where it can be: in a form, browsers would change its line feeds."""
    form = sent()
    pid = request.args.get("participant") or form.get("participant_id")
    with form.showing(*REFUSALS):
        asked = _asked(form, pid)
        with database().transaction(here().id) as session:
            receipt = adjustments.adjust(session, here().id, asked, actor=actor())
        deployment().rollups.touch(here().id)
        return lead_to(url_for("participant.profile", pid=pid, done=receipt.transaction_id))
    if "form" in form.errors:  # what this form's key stands for is done
        form.values["key"] = adjustments.new_key() if isinstance(form.refusal, Invalid) else form.get("key")
    return show_profile(pid, form) if _is_known(pid) else _show_new(form)


@bp.get("/adjust/preview")
@allows("participants:write")
def preview() -> Response:
    """Tell what a form would lead to: balance, tier, or why not."""
    pid, kind, amount = (request.args.get(name, "") for name in ("participant", "kind", "amount"))
    with database().transaction(here().id) as session:
        person = profiles.find(session, here().id, pid)
        before = ladder.place_of(session, here().id, person, now=now())
        held = {"pin": ladder.pin_of(session, here().id, person), "kept": holds.kept(session, here().id, person)}
    values: dict[str, Any] = {"person": person, **held, "problem": adjustments.amount_problem(amount) if amount else None}
    if amount and not values["problem"]:
        told = adjustments.preview(
            balance=person.balance, total_earned=person.total_earned, kind=kind, amount=adjustments.points(amount)
        )
        with database().transaction(here().id) as session:
            earned = told.total_earned - person.total_earned
            after = ladder.place_of(session, here().id, person, now=now(), earning=earned)
        values |= {"told": told, "before": before, "after": after}
    return Response(render_template("participants/_preview.html", **values))


@bp.get("/reverse")
@allows("participants:write")
def ask() -> Response:
    """Ask whether and why to take an entry back."""
    return _show_reversal(_entry_id(), Form({"key": adjustments.new_key()}))


@bp.post("/reverse")
@allows("participants:write")
def reverse() -> Answer:
    """Take an entry back."""
    form, entry_id = sent(), _entry_id()
    with form.showing(*REFUSALS):
        with database().transaction(here().id) as session:
            done = adjustments.reverse(
                session,
                here().id,
                entry_id,
                reason=form.get("why"),
                key=form.get("key"),
                allow_partial=form.get("allow_partial") == "1",
                actor=actor(),
            )
        deployment().rollups.touch(here().id)
        return lead_to(url_for("participant.profile", pid=done.participant_id, done=done.transaction_id))
    # Named apart from the reason of an adjustment, whose form may be on the same page.
    form.errors = {"why" if field == "reason" else field: said for field, said in form.errors.items()}
    return _show_reversal(entry_id, form)


def _asked(form: Form, pid: str) -> Adjustment:
    texts = {name: form.get(name) for name in ("kind", "amount", "reason", "key")}
    return adjustments.read(participant_id=pid, **texts)


def _is_known(pid: str) -> bool:
    with database().transaction(here().id) as session:
        try:
            profiles.find(session, here().id, pid)
        except NotFound:
            return False
    return True


def _entry_id() -> UUID:
    entry_id = request.args.get("entry", type=UUID)
    if entry_id is None:
        raise NotFound("There is no such entry.")
    return entry_id


def _show_new(form: Form) -> Response:
    return htmx.render("participants/adjust.html", status=form.status, form=form)


def _show_reversal(entry_id: UUID, form: Form) -> Response:
    entry = entries.find(database(), here().id, entry_id)
    with database().transaction(here().id) as session:
        person = profiles.find(session, here().id, entry.external_id)
    return htmx.render(
        "participants/reverse.html",
        partials={"drawer-content": "participants/_reverse.html"},
        status=form.status,
        entry=entry,
        person=person,
        is_partly_spent=entry.type == "award" and person.balance < entry.points,
        form=form,
    )
