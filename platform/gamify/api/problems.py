"""Problems: every refusal and fault as RFC 9457 problem details, with nothing in it that is not meant for the reader."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from gamify.api.tier_shapes import show_draft
from gamify.errors import DomainError, DraftChanged, Invalid, Unavailable

log = logging.getLogger(__name__)

DETAILS = {
    400: "The request could not be read as HTTP.",
    404: "There is nothing at this address; the API is described at /docs.",
    405: "This address does not take that method.",
    413: "The body is too large.",
    415: "Send the body as Content-Type: application/json, in UTF-8.",
}


def init_app(app: Flask) -> None:
    """Answer every error of `app` with a problem; the dashboard has its own pages for its own paths."""
    for kind, answer in HANDLERS.items():
        app.register_error_handler(kind, answer)


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
    draft: dict[str, Any] | None = None,
) -> Response:
    """Return a problem response."""
    body: dict[str, object] = {
        "type": f"/docs#problem-{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": g.request_id,
    }
    if errors is not None:
        body["errors"] = errors
    if draft is not None:
        body["draft"] = draft
    return Response(orjson.dumps(body), status, headers, mimetype="application/problem+json")


def of_domain_error(error: DomainError) -> Response:
    """Answer an expected refusal."""
    if isinstance(error, Unavailable):
        log.warning("unavailable", exc_info=error.__cause__ or error, extra={"request_id": g.request_id})
    errors = [e._asdict() for e in error.errors] if isinstance(error, Invalid) else None
    headers = dict(error.headers)
    if getattr(error, "is_replay", False):
        headers["Idempotent-Replayed"] = "true"
    draft = show_draft(error.theirs) if isinstance(error, DraftChanged) else None
    said = (error.status, error.code, error.title, _printable(str(error)))
    return problem(*said, errors=_printable_errors(errors), headers=headers, draft=draft)


def of_http_exception(error: HTTPException) -> Response:
    """Answer what the framework refused before one of our routes was found."""
    status = error.code or 500
    if status < HTTPStatus.BAD_REQUEST:
        return Response(error.get_body(), status, dict(error.get_headers()))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return of_fault(error)
    phrase = HTTPStatus(status).phrase.capitalize()
    methods: list[str] = getattr(error, "valid_methods", None) or []
    headers = {"Allow": ", ".join(sorted(methods))} if methods else {}
    detail = DETAILS.get(status, phrase + ".")
    return problem(status, phrase.lower().replace(" ", "_").replace("-", "_"), phrase, detail, headers=headers)


def of_fault(error: Exception) -> Response:
    """Answer a mistake of ours: log where it is, show nothing."""
    route = str(request.url_rule or "unknown")
    log.error("unexpected error", exc_info=error, extra={"request_id": g.request_id, "route": route})
    return problem(500, "internal_error", "Something went wrong", "The fault is ours and has been logged with this request id.")


def _printable(text: str) -> str:
    """Text of a client's can hold lone surrogates, which no UTF-8 answer can."""
    return text.encode("utf-8", "replace").decode()


def _printable_errors(errors: list[dict[str, str]] | None) -> list[dict[str, str]] | None:
    return errors and [{name: _printable(value) for name, value in error.items()} for error in errors]


HANDLERS: dict[type[Exception], Callable[[Any], Response]] = {
    DomainError: of_domain_error,
    HTTPException: of_http_exception,
    Exception: of_fault,
}
