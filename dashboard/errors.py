"""Error pages, for the pages' own addresses; every other address keeps what it had."""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, make_response, render_template, request
from gamify.errors import DomainError, Unavailable
from werkzeug.exceptions import HTTPException

from dashboard import htmx

log = logging.getLogger(__name__)

Handler = Callable[[Any], Response]

SENTENCES = {
    400: "The form was too old or not from this site. Go back, reload the page and try again.",
    403: "You may not do this. Ask an admin, if you should.",
    404: "There is nothing at this address.",
    405: "This address does not take that kind of request.",
    413: "That was too much at once.",
}
OF_OURS = "The fault is ours and has been logged with this request id."


def init_app(app: Flask, otherwise: Mapping[type[Exception], Handler]) -> None:
    """Answer errors with pages where there are pages, and as `otherwise` says elsewhere."""
    pages: dict[type[Exception], Handler] = {
        DomainError: of_domain_error,
        HTTPException: of_http_exception,
        Exception: of_fault,
    }
    for kind, show in pages.items():
        app.register_error_handler(kind, _choosing(show, otherwise[kind]))


def of_domain_error(error: DomainError) -> Response:
    """Show an expected refusal."""
    if isinstance(error, Unavailable):
        log.warning("unavailable", exc_info=error.__cause__ or error, extra={"request_id": g.request_id})
    return _page(error.status, error.title, str(error), error.headers)


def of_http_exception(error: HTTPException) -> Response:
    """Show what the framework or the guard refused."""
    status = error.code or 500
    if status < HTTPStatus.BAD_REQUEST:
        return Response(error.get_body(), status, dict(error.get_headers()))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return of_fault(error)
    phrase = HTTPStatus(status).phrase.capitalize()
    methods: list[str] = getattr(error, "valid_methods", None) or []
    headers = {"Allow": ", ".join(sorted(methods))} if methods else {}
    return _page(status, phrase, SENTENCES.get(status, f"{phrase}."), headers)


def of_fault(error: Exception) -> Response:
    """Show that something is broken: log where, show nothing."""
    log.error("unexpected error", exc_info=error, extra={"request_id": g.request_id, "route": str(request.url_rule or "unknown")})
    return _page(500, "Something went wrong", OF_OURS, {})


def _choosing(page: Handler, otherwise: Handler) -> Handler:
    def handle(error: Any) -> Response:
        return page(error) if f"{request.path}/".startswith("/dashboard/") else otherwise(error)

    return handle


def _page(status: int, title: str, sentence: str, headers: Mapping[str, str]) -> Response:
    if htmx.is_partial():
        answer = htmx.refuse(sentence, status)
        answer.headers.extend(headers)
        return answer
    values: dict[str, Any] = {"title": title, "sentence": sentence, "status": status}
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        values["visitor"] = lambda: None  # what is broken may be what tells who is here
    return make_response(render_template("error.html", **values), status, dict(headers))
