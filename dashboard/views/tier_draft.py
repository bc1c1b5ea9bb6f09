"""The editor: a draft of the tiers that is saved as it is typed, and moves nobody."""

from typing import Any

from flask import Blueprint, Response, flash, make_response, render_template, request, url_for
from gamify.deployment import database
from gamify.errors import Conflict, DraftChanged, Invalid, NotFound
from gamify.models.tier import COLOURS
from gamify.services import drafts, ladder
from gamify.services.drafts import Content, Draft
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as Answer

from dashboard import htmx, tier_conflict, tier_form
from dashboard.forms import Form, ask, sent
from dashboard.guard import actor, allows, lead_to
from dashboard.tenancy import here, reading
from dashboard.tier_drawing import Drawing, Mark, draw
from dashboard.tier_form import Row
from dashboard.tier_scale import has_choice, scale_of
from dashboard.views import tier_preview

SAVED = "draft-saved"  # the event on which the preview looks anew

bp = Blueprint("draft", __name__, url_prefix="/dashboard/tiers")


@bp.get("/edit")
@allows("tiers:draft")
def edit() -> Response:
    """Show the draft."""
    return _show(Form(), None)


@bp.post("/edit")
@allows("tiers:draft")
def save() -> Answer:
    """Keep what was typed: a script sends it again and again, a person to see what it would do, to add a tier or to publish."""
    form, wanted = sent(), request.form.get("do", "")
    with reading() as session:
        rows = tier_form.typed(request.form, _published(session))
    content, kept = tier_form.content(request.form, rows), None
    with form.showing():
        kept = _keep(content, wanted)
    errors = form.refusal.errors if isinstance(form.refusal, Invalid) else drafts.problems(content)
    form.errors = tier_form.at_fields(errors, rows) | ({"form": str(form.refusal)} if isinstance(form.refusal, Conflict) else {})
    if htmx.is_partial():
        return _told(form, rows, kept)
    if kept is None or wanted == "add" or (wanted == "publish" and form.errors):
        return _show(form, [Row(f"n{len(rows)}"), *rows] if wanted == "add" else rows)
    return lead_to(url_for("publication.ask" if wanted == "publish" else ".edit", scale=request.form.get("scale")))


@bp.get("/discard")
@allows("tiers:draft")
def ask_to_discard() -> Response:
    """Ask whether the draft may go."""
    with database().transaction(here().id) as session:
        draft = drafts.of(session, here().id)
    return ask("tiers/_discard.html", title="Discard the draft?", leads_back=url_for(".edit"), draft=draft)


@bp.post("/discard")
@allows("tiers:draft")
def discard() -> Answer:
    """Forget the draft."""
    with database().transaction(here().id) as session:
        drafts.discard(session, here().id, actor=actor())
    flash("The draft is gone; the tiers in force are as they were.")
    return lead_to(url_for("tiers.index"))


@bp.get("/versions/<int:version>/restore")
@allows("tiers:draft")
def ask_to_restore(version: int) -> Response:
    """Ask whether a former version may take the draft's place."""
    with database().transaction(here().id) as session:
        _check_known(session, version)
        draft = drafts.of(session, here().id)
    title = f"Restore version {version}?"
    return ask("tiers/_restore.html", title=title, leads_back=url_for("tiers.versions"), draft=draft, version=version)


@bp.post("/versions/<int:version>/restore")
@allows("tiers:draft")
def restore(version: int) -> Answer:
    """Make a former version the draft. Whoever undoes what they have published wants everybody back where they were."""
    with database().transaction(here().id) as session:
        _check_known(session, version)
        drafts.restore(session, here().id, version, actor=actor())
    flash(f"Version {version} is the draft now. Nobody moves until it is published.")
    return lead_to(url_for(".edit", falling=request.form.get("falling")))


def _keep(content: Content, wanted: str) -> Draft:
    """Save the draft. Raises `DraftChanged` and what else `drafts.save` refuses."""
    revision = request.form.get("revision", 0, type=int)
    with database().transaction(here().id) as session:
        now_there = drafts.of(session, here().id)
        if wanted == "merge":
            content, revision = tier_conflict.merge(content, now_there.content, request.form.get), _seen(now_there)
        if not now_there.is_saved and now_there.content == content:
            return now_there  # nothing differs from the ladder in force
        based_on = request.form.get("in_force", type=int) if wanted == "rebase" else None
        return drafts.save(session, here().id, content, revision=revision, actor=actor(), based_on=based_on)


def _seen(draft: Draft) -> int:
    """The revision of theirs that was shown beside what was typed."""
    seen = request.form.get("theirs", 0, type=int)
    if seen != draft.revision:
        raise DraftChanged("The draft was changed once more.", theirs=draft)
    return seen


def _check_known(session: Session, version: int) -> None:
    if not 0 < version <= ladder.version(session, here().id):
        raise NotFound(f"There is no version {version} of the tiers.")


def _published(session: Session) -> set[str]:
    return {tier.code for tier in ladder.known(session, here().id).values()}


def _told(form: Form, rows: list[Row], kept: Draft | None) -> Response:
    """Answer a script: what became of the draft, and what is wrong at which field."""
    with reading() as session:
        values = _values(session, form, rows, kept or drafts.of(session, here().id))
    answer = make_response(render_template("tiers/_told.html", form=form, kept=kept, **values), form.status)
    if kept and not form.errors:
        answer.headers["HX-Trigger"] = SAVED
    return answer


def _show(form: Form, rows: list[Row] | None) -> Response:
    """Show the editor with what was typed, or with the draft."""
    with reading() as session:
        draft = drafts.of(session, here().id)
        if rows is None:
            rows = _rows(session, draft.content)
            form.errors = tier_form.at_fields(drafts.problems(draft.content), rows)
        values = _values(session, form, rows, draft)
        values |= tier_preview.shown(session, draft.content, request.args)
    return make_response(render_template("tiers/edit.html", form=form, kept=draft, **values), form.status)


def _in_force(session: Session) -> Content:
    return drafts.content_of(ladder.newest(session, here().id), ladder.in_force(session, here().id))


def _rows(session: Session, content: Content) -> list[Row]:
    """The draft's tiers, and those in force that it has not: deleted ones, which can come back."""
    left = {rung.code for rung in content.rungs}
    gone = [rung for rung in _in_force(session).rungs if rung.code not in left]
    return tier_form.rows_of(content.rungs, gone, _published(session))


def _values(session: Session, form: Form, rows: list[Row], draft: Draft) -> dict[str, Any]:
    in_force = _in_force(session)
    theirs: Draft | None = form.refusal.theirs if isinstance(form.refusal, DraftChanged) else None
    mine = tier_form.content(request.form, rows) if theirs else draft.content
    thresholds = [row.points for row in rows if row.counts and row.points is not None]
    return {
        "rows": rows,
        "draft": draft,
        "qualification": tier_form.content(request.form, rows).qualification if form.values else draft.content.qualification,
        "tones": tier_form.tones_of(rows),
        "drawing": _drawing(rows, {rung.code: rung.threshold for rung in in_force.rungs}),
        "has_choice": has_choice(thresholds),
        "colours": COLOURS,
        "theirs": theirs,
        "pairs": [pair for pair in tier_conflict.pairs(mine, theirs.content) if pair.differs] if theirs else [],
        "mine": mine,
        "version": ladder.version(session, here().id),
        "new_row": Row("new"),
        "no_form": Form(),
    }


def _drawing(rows: list[Row], was: dict[str, int | None]) -> Drawing:
    tones = tier_form.tones_of(rows)
    marks = [
        Mark(row.key, row.rung.name, tones[row.key], row.points, was.get(row.code))
        for row in tier_form.counting(rows)
        if row.points is not None
    ]
    return draw(marks, scale_of([mark.threshold for mark in marks], request.values.get("scale")))
