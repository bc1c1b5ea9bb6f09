"""The HTML door."""

from flask import Flask, redirect, url_for
from werkzeug.wrappers import Response

from dashboard.views import audit, docs


def init_app(app: Flask) -> None:
    """Put the pages into `app`."""
    app.register_blueprint(docs.bp)
    app.register_blueprint(audit.bp)

    @app.get("/")
    def home() -> Response:
        return redirect(url_for("docs.index"))
