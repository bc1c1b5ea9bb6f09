"""The first page."""

from flask import Blueprint, render_template

from dashboard.guard import allows

bp = Blueprint("home", __name__, url_prefix="/dashboard")


@bp.get("/")
@allows("account")
def index() -> str:
    """List the pages that this person may see."""
    return render_template("home.html")
