"""The composition root: settings, database, Redis and the two doors become one Flask app."""

from collections.abc import Callable
from typing import Any

from flask import Flask

import dashboard
from gamify import api, config, http, logs, schema
from gamify.api import problems
from gamify.deployment import Deployment


class Gamify(Flask):
    """Flask, for views that are plain functions."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: none is a coroutine, and Flask would look anew at each of nine calls a request."""
        return func


def create_app(settings: config.Settings | None = None) -> Flask:
    """Return the app. Raises `ConfigError` when the environment cannot be used."""
    settings = settings or config.load()
    logs.configure(settings)
    app = Gamify("gamify", static_folder=None)
    app.config["SECRET_KEY"] = settings.secret_key
    deployment = Deployment(settings)
    app.extensions["gamify"] = deployment
    http.init_app(app, settings)
    api.init_app(app, deployment)
    dashboard.init_app(app, otherwise=problems.HANDLERS)
    return app


def create_app_with_migrations() -> Flask:
    """Return the app with Flask-Migrate's `db` commands, which a server does not need."""
    from flask_migrate import Migrate  # noqa: PLC0415  # it takes a fifth of the time in which a process starts

    app = create_app()
    Migrate(app, app.extensions["gamify"].database, directory=str(schema.DIRECTORY))
    return app
