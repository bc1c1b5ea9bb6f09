"""A tenant's API keys, live and test: who calls, what for, from where, and until when."""

from datetime import date, datetime, timedelta

from flask import Blueprint, Response, flash, make_response, render_template, request, url_for
from gamify.deployment import counters, database, deployment
from gamify.errors import FieldError, Invalid
from gamify.models import ApiKey, Tenant
from gamify.models.api_key import REQUESTS_A_MINUTE
from gamify.services import api_keys, period, tenants
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as Answer

from dashboard.forms import Form, ask, sent, show
from dashboard.guard import actor, allows, lead_to, now, who
from dashboard.tenancy import is_sandbox, zone

bp = Blueprint("keys", __name__, url_prefix="/dashboard/keys")

ON_A_DAY = "day"
LIFETIMES = {"": "Never", "30": "In 30 days", "90": "In 90 days", "365": "In a year", ON_A_DAY: "After a day of your choice"}
SOON = timedelta(days=14)  # when an expiry is worth a warning
IN_USE = ("valid", "rolling")


@bp.get("")
@allows("keys:read")
def index() -> Response:
    """List keys."""
    return _show(Form())


@bp.post("/issue")
@allows("keys:write", fresh=True)
def issue() -> Response:
    """Make a key and show its secret, this once."""
    form = sent()
    with form.showing():
        expires_at, limit, scopes = _expiry(form), _rate_limit(form), _scopes()
        with database().transaction() as db:
            key, secret = api_keys.issue(
                db,
                _tenant(db, form),
                name=form.get("name").strip(),
                scopes=scopes,
                rate_limit=limit,
                allowed_networks=form.get("allowed_networks").split(),
                expires_at=expires_at,
                pepper=deployment().settings.api_key_pepper,
                actor=actor(),
                now=now(),
            )
        return _show_secret(key, secret)
    return _show(form)


@bp.get("/<prefix>/roll")
@allows("keys:write", fresh=True)
def ask_to_roll(prefix: str) -> Response:
    """Ask for how long the old key shall go on."""
    return _ask("keys/_roll.html", prefix, overlaps=api_keys.OVERLAPS)


@bp.post("/<prefix>/roll")
@allows("keys:write", fresh=True)
def roll(prefix: str) -> Response:
    """Replace a key and show the new secret, this once."""
    form = sent()
    with form.showing():
        overlap = api_keys.OVERLAPS.get(form.get("overlap"), timedelta(-1))  # what is none of them is refused
        with database().transaction() as db:
            key, secret = api_keys.roll(
                db,
                prefix,
                overlap=overlap,
                pepper=deployment().settings.api_key_pepper,
                actor=actor(),
                now=now(),
                of=[tenant.id for tenant in _both(db)],
            )
        counters().advance(key.tenant_id)
        return _show_secret(key, secret, replaced=prefix, overlap=form.get("overlap"))
    return _show(form)


@bp.get("/<prefix>/revoke")
@allows("keys:write", fresh=True)
def ask_to_revoke(prefix: str) -> Response:
    """Ask whether this is the key that is meant."""
    return _ask("keys/_revoke.html", prefix)


@bp.post("/<prefix>/revoke")
@allows("keys:write", fresh=True)
def revoke(prefix: str) -> Answer:
    """Put a key out of use at once."""
    with database().transaction() as db:
        key = api_keys.revoke(db, prefix, actor=actor(), of=[tenant.id for tenant in _both(db)])
    counters().advance(key.tenant_id)
    flash(f"{key.name} ({key.prefix}…) is revoked.")
    return lead_to(url_for(".index"))


def _both(db: Session) -> list[Tenant]:
    """Return the tenant of whoever is here, and its sandbox."""
    own = db.get_one(Tenant, who().user.tenant_id)
    return list(tenants.both(db, own.slug))


def _tenant(db: Session, form: Form) -> Tenant:
    found = {tenant.mode: tenant for tenant in _both(db)}
    if form.get("mode") not in found:
        raise Invalid([FieldError("mode", "Choose live or test.")])
    return found[form.get("mode")]


def _ask(question: str, prefix: str, **values: object) -> Response:
    with database().transaction() as db:
        key = api_keys.get(db, prefix, of=[tenant.id for tenant in _both(db)])
    return ask(question, title=key.name, leads_back=url_for(".index"), key=key, **values)


def _expiry(form: Form) -> datetime | None:
    chosen = form.get("expires_in")
    if chosen not in LIFETIMES:
        raise Invalid([FieldError("expires_in", "Choose one of these.")])
    if chosen == ON_A_DAY:
        return _end_of(form.get("expires_on"))
    return now() + timedelta(days=int(chosen)) if chosen else None


def _end_of(written: str) -> datetime:
    """The end of a day in the tenant's zone."""
    try:
        _, end = period.days(None, date.fromisoformat(written), zone())
    except (ValueError, OverflowError) as error:
        raise Invalid([FieldError("expires_on", "Must be a day such as 2027-02-14.")]) from error
    if end is None or end <= now():
        raise Invalid([FieldError("expires_on", "Must not lie in the past.")])
    return end


def _rate_limit(form: Form) -> int:
    written = form.get("rate_limit").strip()
    if not (written.isascii() and written.isdecimal() and len(written) <= 16):  # noqa: PLR2004  # digits of the largest limit
        raise Invalid([FieldError("rate_limit", "Must be a whole number; 0 is no limit.")])
    return int(written)


def _scopes() -> list[str]:
    chosen = request.form.getlist("scope")
    if not chosen:
        raise Invalid([FieldError("scope", "Choose one at least.")])
    return chosen


def _show(form: Form) -> Response:
    with database().transaction() as db:
        keys = {tenant.mode: [*reversed(api_keys.of_tenant(db, tenant))] for tenant in _both(db)}
    if is_sandbox():
        keys = dict(reversed(keys.items()))
    states = {key.prefix: api_keys.state_of(key, now=now()) for of_mode in keys.values() for key in of_mode}
    chosen = request.form.getlist("scope") if request.method == "POST" else list(api_keys.SCOPES)
    return show(
        "keys/index.html",
        form,
        keys=keys,
        states=states,
        in_use=IN_USE,
        soon=now() + SOON,
        scopes=api_keys.SCOPES,
        chosen=chosen,
        lifetimes=LIFETIMES,
        usual_limit=REQUESTS_A_MINUTE,
        mode=form.values.get("mode", "test" if is_sandbox() else "live"),
    )


def _show_secret(key: ApiKey, secret: str, **values: str) -> Response:
    page = make_response(render_template("keys/secret.html", key=key, secret=secret, **values))
    page.headers["Cache-Control"] = "no-store"
    return page
