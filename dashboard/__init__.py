"""The HTML door."""

from collections.abc import Mapping

from flask import Flask, redirect, url_for
from werkzeug.wrappers import Response

from dashboard import assets, errors, formats, guard, htmx, navigation, tenancy, theme
from dashboard.errors import Handler
from dashboard.views import (
    account,
    adjustments,
    audit,
    details,
    developers,
    docs,
    exports,
    home,
    imports,
    keys,
    ledger,
    links,
    participants,
    people,
    pins,
    reports,
    schedules,
    second_factor,
    settings,
    sign_in,
    tenants,
    tier_draft,
    tier_preview,
    tier_publication,
    tiers,
)

VIEWS = (
    assets,
    account,
    adjustments,
    audit,
    details,
    developers,
    docs,
    exports,
    home,
    imports,
    keys,
    ledger,
    links,
    participants,
    people,
    pins,
    reports,
    schedules,
    second_factor,
    settings,
    sign_in,
    tenants,
    tier_draft,
    tier_preview,
    tier_publication,
    tiers,
)


def init_app(app: Flask, *, otherwise: Mapping[type[Exception], Handler]) -> None:
    """Put the pages into `app`; errors elsewhere are answered as `otherwise` says."""
    for part in (guard, htmx, tenancy, theme, formats, navigation):
        part.init_app(app)
    errors.init_app(app, otherwise)
    app.after_request(assets.compress)
    for view in VIEWS:
        app.register_blueprint(view.bp)

    @app.get("/")
    def index() -> Response:
        return redirect(url_for("home.index"))
