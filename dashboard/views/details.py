"""What participants are called and known for, changed by hand; and the end of their data."""

import json
from typing import Any

from flask import Blueprint, flash, request, url_for
from gamify.deployment import database
from gamify.errors import FieldError, Invalid, NotFound
from gamify.models import Participant
from gamify.services import details, erasures, profiles
from werkzeug.wrappers import Response as Answer

from dashboard import htmx
from dashboard.forms import Form, sent
from dashboard.guard import actor, allows, lead_to
from dashboard.tenancy import here

MISREAD = 'Must be a JSON object, such as {"plan": "pro"}.'

bp = Blueprint("details", __name__, url_prefix="/dashboard")


@bp.get("/details")
@allows("participants:write")
def edit() -> Answer:
    """Show what there is to edit."""
    with database().transaction(here().id) as session:
        person = _person(profiles.find(session, here().id, _pid()))
        known = details.of(session, here().id, [person.id]).get(person.id)
    attributes = json.dumps(known.attributes, ensure_ascii=False, indent=2) if known and known.attributes else ""
    name = (known.display_name if known else None) or ""
    return _show("participants/_details.html", person, Form({"display_name": name, "attributes": attributes}))


@bp.post("/details")
@allows("participants:write")
def save() -> Answer:
    """Call somebody by another name, or describe them anew."""
    form, pid = sent(), _pid()
    with form.showing():
        name, attributes = form.get("display_name").strip() or None, _attributes(form.get("attributes"))
        with database().transaction(here().id) as session:
            details.replace(session, here().id, pid, display_name=name, attributes=attributes, actor=actor())
        flash("The details are saved.")
        return lead_to(url_for("participant.profile", pid=pid))
    return _show("participants/_details.html", _find(pid), form)


@bp.get("/erase")
@allows("participants:write", fresh=True)
def ask() -> Answer:
    """Ask whether this is the person who is meant, and say what goes and what stays."""
    return _show("participants/_erase.html", _find(_pid()), Form())


@bp.post("/erase")
@allows("participants:write", fresh=True)
def erase() -> Answer:
    """Erase somebody, if their id was typed."""
    form, pid = sent(), _pid()
    person = _find(pid)
    with form.showing():
        if form.get("typed").split() != pid.split():  # no field can hold line feeds, nor show how many spaces there are
            raise Invalid([FieldError("typed", "This is not the id; nothing was erased.")])
        with database().transaction(here().id) as session:
            erasures.erase(session, here().id, pid, actor=actor())
        erasures.catch_up(database(), here().id, seconds=erasures.QUICK)
        flash("The person is erased. Their points stay, as those of somebody unknown.")
        return lead_to(url_for("participant.index"))
    return _show("participants/_erase.html", person, form)


def _show(question: str, person: Participant, form: Form) -> Answer:
    leads_back = url_for("participant.profile", pid=person.external_id)
    return htmx.render(
        "asked.html",
        partials={"drawer-content": question},
        status=form.status,
        title=person.external_id,
        leads_back=leads_back,
        question=question,
        person=person,
        form=form,
    )


def _pid() -> str:
    return request.args.get("participant", "")


def _find(pid: str) -> Participant:
    with database().transaction(here().id) as session:
        return _person(profiles.find(session, here().id, pid))


def _person(found: Participant) -> Participant:
    if found.erased_at:
        raise NotFound("There is no such participant any more.")
    return found


def _attributes(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise Invalid([FieldError("attributes", MISREAD)]) from error
    if not isinstance(found, dict):
        raise Invalid([FieldError("attributes", MISREAD)])
    return found
