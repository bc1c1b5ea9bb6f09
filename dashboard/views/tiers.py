"""The ladder: its tiers, who stands on them, and a plain form to set them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flask import Blueprint, Response, flash, request, url_for
from gamify.deployment import database
from gamify.errors import FieldError, Invalid
from gamify.models import Tier
from gamify.models.tier import COLOURS
from gamify.services import closeness, ladder, overview, tiers
from gamify.services.tiers import Look
from werkzeug.wrappers import Response as Answer

from dashboard.forms import Form, sent, show
from dashboard.guard import actor, allows, lead_to
from dashboard.tenancy import here, reading
from dashboard.tier_chart import spread

FIELDS = ("code", "name", "threshold", "colour")
SPARE = 2  # empty rows of the form
MOST_DIGITS = 19  # of the highest threshold

bp = Blueprint("tiers", __name__, url_prefix="/dashboard/tiers")


class Row(NamedTuple):
    """A row of the form, as it was typed."""

    code: str = ""
    name: str = ""
    threshold: str = ""
    colour: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nobody has typed anything into it."""
        return not (self.code or self.name or self.threshold)


@bp.get("")
@allows("tiers:read")
def index() -> Response:
    """Show the ladder and its people."""
    with reading() as session:
        standings = overview.standings(session, here().id)
        steps = closeness.of(session, here().id, [each.tier for each in standings if each.tier])
    total = sum(each.participant_count for each in standings)
    return show("tiers/index.html", Form(), standings=standings, steps=steps, total=total, spread=spread(standings, kind="bar"))


@bp.get("/edit")
@allows("tiers:write")
def edit() -> Response:
    """Show the form."""
    return _show(Form(), None)


@bp.post("/edit")
@allows("tiers:write", fresh=True)
def replace() -> Response | Answer:
    """Put the tiers of the form in force; everybody is placed anew."""
    form, rows = sent(), [row for row in _typed() if not row.is_empty]
    with form.showing():
        thresholds, looks = _read(rows)
        with database().transaction(here().id) as session:
            based_on = request.form.get("version", type=int)
            made = tiers.replace(session, here().id, thresholds, actor=actor(), looks=looks, based_on=based_on)
        flash(f"{len(made.thresholds)} tiers are in force, and everybody stands where their points lead.")
        return lead_to(url_for(".index"))
    return _show(form, rows)


def _show(form: Form, rows: list[Row] | None) -> Response:
    with database().transaction(here().id) as session:
        now, version = ladder.in_force(session, here().id), ladder.version(session, here().id)
    rows = [_row(tier) for tier in now] if rows is None else rows
    spare = [Row()] * (max(SPARE, 3 - len(rows)) if len(rows) + SPARE <= tiers.MOST_TIERS else 0)
    known = {tier.code for tier in now}
    values: dict[str, Any] = {"rows": rows + spare, "known": known, "version": version, "colours": COLOURS}
    return show("tiers/edit.html", form, **values)


def _row(tier: Tier) -> Row:
    return Row(tier.code, tier.name, str(tier.threshold), tier.colour or "")


def _typed() -> Iterator[Row]:
    """The rows that were sent, but for those marked to go."""
    columns = zip(*(request.form.getlist(field) for field in FIELDS), strict=False)
    gone = set(request.form.getlist("gone"))
    for number, values in enumerate(columns):
        if str(number) not in gone:
            yield Row(*(value.strip() for value in values))


def _read(rows: list[Row]) -> tuple[Mapping[str, int], Mapping[str, Look]]:
    """Return thresholds and looks by code. Raises `Invalid` for what is no number or stands twice."""
    errors, thresholds, looks = [], {}, {}
    for row in rows:
        digits = row.threshold.replace(",", "").replace(" ", "")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= MOST_DIGITS):
            errors.append(FieldError(f"tiers.{row.code}", "A threshold is a whole number of points, such as 500."))
        elif row.code in thresholds:
            errors.append(FieldError(f"tiers.{row.code}", "A code stands for one tier only."))
        else:
            thresholds[row.code] = int(digits)
        if row.name:
            looks[row.code] = Look(row.name, row.colour or None)
        elif row.colour:
            looks[row.code] = Look(tiers.usual_name(row.code), row.colour)
    if errors:
        raise Invalid(errors)
    return thresholds, looks
