"""The composition root: settings, database, Redis and the two doors become one Flask app."""

from flask import Flask
from flask_migrate import Migrate

import dashboard
from gamify import api, config, logs, schema
from gamify.deployment import Deployment


def create_app(settings: config.Settings | None = None) -> Flask:
    """Return the app. Raises `ConfigError` when the environment cannot be used."""
    settings = settings or config.load()
    logs.configure(settings)
    app = Flask("gamify", static_folder=None)
    app.config["SECRET_KEY"] = settings.secret_key
    deployment = Deployment(settings)
    app.extensions["gamify"] = deployment
    Migrate(app, deployment.database, directory=str(schema.DIRECTORY))
    api.init_app(app, deployment)
    dashboard.init_app(app)
    return app
