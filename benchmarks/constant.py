"""Our app with one more route: a constant behind the same key check and limiter."""

from flask import Flask
from flask.views import MethodView
from gamify.api.guard import needs
from gamify.app import create_app


class Constant(MethodView):
    init_every_request = False

    @needs("points:read")
    def get(self) -> dict[str, str]:
        return {"status": "ok"}


def create() -> Flask:
    app = create_app()
    app.add_url_rule("/api/v1/gamify/constant", view_func=Constant.as_view("constant"))
    return app
