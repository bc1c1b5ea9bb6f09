"""The API's documentation, by Swagger UI from local files."""

from pathlib import Path

from flask import Blueprint, render_template

from dashboard.problems import PROBLEMS

FOLDER = Path(__file__).parent.parent

bp = Blueprint("docs", __name__, template_folder=FOLDER / "templates")


@bp.get("/docs")
def index() -> str:
    """Show the API document, with requests to try."""
    return render_template("docs.html", problems=PROBLEMS)
