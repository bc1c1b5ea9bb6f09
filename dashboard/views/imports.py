"""Points that come from another system in a file: looked at first, then stored."""

from flask import Blueprint, Response, request
from gamify.deployment import database, deployment
from gamify.errors import FieldError, Invalid
from gamify.services.imports import run
from gamify.services.imports.run import Report
from werkzeug.datastructures import FileStorage

from dashboard.forms import Form, sent, show
from dashboard.guard import actor, allows, now
from dashboard.tenancy import here

LARGEST = 4 * 1024 * 1024  # bytes: what is written while somebody waits; the command takes any size
MOST_REMARKS = 200
CHECK, STORE, SKIP = "check", "store", "skip"

bp = Blueprint("imports", __name__, url_prefix="/dashboard/import")


@bp.get("")
@allows("participants:write", fresh=True)
def index() -> Response:
    """Show the form, and what a file must have."""
    return _show(Form({"how": CHECK}))


@bp.post("")
@allows("participants:write", fresh=True)
def store() -> Response:
    """Look at a file, or store what is in it."""
    form = sent()
    report = None
    with form.showing(Invalid):
        report = _run(_sent_file(), how=form.get("how"))
    return _show(form, report)


def _sent_file() -> FileStorage:
    file = request.files.get("file")
    if file is None or not file.filename:
        raise Invalid([FieldError("file", "Choose a file.")])
    if (request.content_length or 0) > LARGEST:
        raise Invalid([FieldError("file", f"May have {LARGEST // 1024**2} MiB here; `gamify import` takes larger ones.")])
    return file


def _run(file: FileStorage, *, how: str) -> Report:
    if how not in (CHECK, STORE, SKIP):
        raise Invalid([FieldError("how", "Choose what to do.")])
    try:
        report = run.run(
            database(),
            here().id,
            file.stream,
            name=file.filename or "",
            is_dry=how == CHECK,
            skips_bad=how == SKIP,
            actor=actor(),
            now=now(),
        )
    except Invalid as error:  # whatever is wrong with it is wrong with the file
        raise Invalid([FieldError("file", " ".join(f"{e.field.capitalize()}: {e.message}" for e in error.errors))]) from error
    if report.is_stored:
        deployment().rollups.touch(here().id)
    return report


def _show(form: Form, report: Report | None = None) -> Response:
    remarks = report.remarks[:MOST_REMARKS] if report else []
    return show("imports/index.html", form, report=report, remarks=remarks, largest=LARGEST // 1024**2)
