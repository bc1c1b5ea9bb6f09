"""The JSON door."""

from flask import Flask

from gamify.api import (
    document,
    guard,
    health,
    participants,
    points,
    problems,
    registry,
    reports,
    standings,
    tiers,
    transactions,
)
from gamify.api.json import OrjsonProvider
from gamify.deployment import Deployment


def init_app(app: Flask, deployment: Deployment) -> None:
    """Put the API into `app`."""
    app.json = OrjsonProvider(app)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    guard.init_app(app, deployment)
    problems.init_app(app)
    api = document.init_app(app)
    for module in (points, transactions, participants, registry, standings, tiers, reports):
        api.register_blueprint(module.blp)
    app.register_blueprint(health.bp)
