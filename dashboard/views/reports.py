"""Reports: the roll-forward, liability, tiers and behaviour; what they are kept as, broken down by, and cost."""

from datetime import date
from typing import Any

from flask import Blueprint, Response, flash, url_for
from gamify.deployment import database
from gamify.errors import FieldError, Invalid, NotFound
from gamify.services.reports import costs, dimensions, saved
from werkzeug.wrappers import Response as Answer

from dashboard import htmx, report_page
from dashboard.forms import Form, sent, show
from dashboard.guard import actor, allows, lead_to, now
from dashboard.report_table import written
from dashboard.tenancy import here

LARGEST_ID = 2**63 - 1

bp = Blueprint("reports", __name__, url_prefix="/dashboard")


@bp.context_processor
def for_templates() -> dict[str, Any]:
    """What templates of reports call."""
    return {"here": here, "now": now, "written": written}


@bp.get("/reports")
@allows("reports:read")
def index() -> Response:
    """Show the roll-forward."""
    return report_page.show("roll-forward")


@bp.get("/reports/liability")
@allows("reports:read")
def liability() -> Response:
    """Show what is outstanding, and what it costs."""
    return report_page.show("liability")


@bp.get("/reports/tiers")
@allows("reports:read")
def tiers() -> Response:
    """Show who is on which tier, and who moves."""
    return report_page.show("tiers")


@bp.get("/reports/activity")
@allows("reports:read")
def activity() -> Response:
    """Show how participants behave."""
    return report_page.show("activity")


@bp.get("/reports/roll-forward.csv")
@allows("reports:export")
def roll_forward_file() -> Response:
    """Send a table of the roll-forward."""
    return report_page.send("roll-forward")


@bp.get("/reports/liability.csv")
@allows("reports:export")
def liability_file() -> Response:
    """Send a table of the liability."""
    return report_page.send("liability")


@bp.get("/reports/tiers.csv")
@allows("reports:export")
def tiers_file() -> Response:
    """Send a table of the tiers."""
    return report_page.send("tiers")


@bp.get("/reports/activity.csv")
@allows("reports:export")
def activity_file() -> Response:
    """Send a table of the behaviour."""
    return report_page.send("activity")


@bp.get("/reports/saved")
@allows("reports:save")
def kept() -> Response:
    """List what is saved, to be renamed and removed."""
    return _show_kept(Form())


@bp.post("/reports/saved")
@allows("reports:save")
def save() -> Response | Answer:
    """Keep a report under a name, and show it."""
    form = sent()
    with form.showing(), database().transaction(here().id) as db:
        query = report_page.kept_query(form.get("query"))
        made = saved.save(db, here().id, name=form.get("name"), kind=form.get("kind"), query=query, actor=actor())
        address = report_page.address_of(made)
    if not form.is_fine:
        return show("reports/save.html", form)
    flash(f"Saved as {made.name}.")
    return lead_to(address)


@bp.post("/reports/saved/rename")
@allows("reports:save")
def rename() -> Response | Answer:
    """Give a saved report another name."""
    form = sent()
    with form.showing(), database().transaction(here().id) as db:
        made = saved.rename(db, here().id, _number(form.get("id")), name=form.get("name"), actor=actor())
        name = made.name
    if not form.is_fine:
        return _show_kept(form)
    flash(f"Its name is {name} now.")
    return lead_to(url_for(".kept"))


@bp.post("/reports/saved/remove")
@allows("reports:save")
def remove() -> Answer:
    """Forget a saved report."""
    form = sent()
    with database().transaction(here().id) as db:
        name = saved.remove(db, here().id, _number(form.get("id")), actor=actor())
    flash(f"{name} is removed.")
    return lead_to(url_for(".kept"))


@bp.post("/reports/costs")
@allows("reports:shape")
def put_cost() -> Response | Answer:
    """Set what a point costs from a day on."""
    form = sent()
    with form.showing(), database().transaction(here().id) as db:
        costs.put(
            db,
            here().id,
            valid_from=_day(form),
            cost=form.get("cost"),
            currency=form.get("currency"),
            actor=actor(),
        )
    if not form.is_fine:
        return report_page.show("liability", form)
    flash("The cost of a point is set.")
    return lead_to(url_for(".liability"))


@bp.post("/reports/costs/remove")
@allows("reports:shape")
def remove_cost() -> Answer:
    """Take a cost back."""
    with database().transaction(here().id) as db:
        costs.remove(db, here().id, _day(sent()), actor=actor())
    flash("That cost is gone; the one before it is valid again.")
    return lead_to(url_for(".liability"))


@bp.get("/reports/dimensions")
@allows("reports:shape")
def shape() -> Response:
    """List the dimensions."""
    return _show_dimensions(Form())


@bp.post("/reports/dimensions")
@allows("reports:shape")
def declare() -> Response | Answer:
    """Make a member of the metadata a dimension."""
    form = sent()
    with form.showing(), database().transaction(here().id) as db:
        dimensions.declare(db, here().id, form.get("metadata_key"), actor=actor())
    return lead_to(url_for(".shape")) if form.is_fine else _show_dimensions(form)


@bp.post("/reports/dimensions/remove")
@allows("reports:shape")
def withdraw() -> Answer:
    """Take a dimension away."""
    with database().transaction(here().id) as db:
        dimensions.remove(db, here().id, _number(sent().get("number"), most=max(dimensions.NUMBERS)), actor=actor())
    flash("That dimension is gone; the ledger keeps the metadata.")
    return lead_to(url_for(".shape"))


def _show_kept(form: Form) -> Response:
    with database().transaction(here().id) as db:
        found = saved.listed(db, here().id)
    listed = [(each, report_page.address_of(each), report_page.KINDS[each.kind].label) for each in found]
    return show("reports/saved.html", form, listed=listed)


def _show_dimensions(form: Form) -> Response:
    with database().transaction(here().id) as db:
        found = dimensions.listed(db, here().id)
    values: dict[str, Any] = {
        "found": found,
        "most": len(dimensions.NUMBERS),
        "is_waiting": any(not each.is_ready for each in found),
    }
    partials = {"dimensions": "reports/_dimensions.html"}
    if htmx.is_partial() and htmx.target() in partials:
        return htmx.render("reports/dimensions.html", partials=partials, form=form, **values)
    return show("reports/dimensions.html", form, **values)


def _day(form: Form) -> date:
    try:
        return date.fromisoformat(form.get("valid_from").strip())
    except ValueError:
        raise Invalid([FieldError("valid_from", "Must be a day such as 2026-02-14.")]) from None


def _number(text: str, *, most: int = LARGEST_ID) -> int:
    """A number that a form of ours has sent; whatever is none is of nothing that there is."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and int(text) <= most):
        raise NotFound("There is no such thing any more.")
    return int(text)
