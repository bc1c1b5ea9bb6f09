"""The API document: OpenAPI 3.1 at /api/v1/openapi.json, made from the routes and schemas themselves."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import flask_smorest
from flask import Blueprint as FlaskBlueprint
from flask import Flask, jsonify
from werkzeug.routing import Map, PathConverter

from gamify.api.body import Parser
from gamify.api.schemas import ProblemSchema

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

PROBLEM = "application/problem+json"
INTRODUCTION = """
Award and deduct points, read balances and histories. Points lead to tiers: an award that crosses a threshold says so.

Every call needs `X-API-Key`. A `gk_test_…` key works on your sandbox, whose data never mix with live ones.

Every answer but 200 is a *problem* (RFC 9457): `code` is for programs, `detail` is a sentence for people, `request_id`
is what to tell us. Send an `idempotency_key` with whatever must not happen twice, and repeat freely until you get an
answer: one key has one effect and one answer, for ever.
""".strip()

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {"description": "The caller's, or ours: names this request in logs.", "schema": {"type": "string"}},
    "X-RateLimit-Limit": {
        "description": "Requests a minute; of key and tenant the one with fewer left. Absent for an unlimited key.",
        "schema": {"type": "integer"},
    },
    "X-RateLimit-Remaining": {"description": "Requests left of it.", "schema": {"type": "integer"}},
    "X-RateLimit-Reset": {
        "description": "Epoch seconds when the oldest counted request is a minute old.",
        "schema": {"type": "integer"},
    },
    "Idempotent-Replayed": {"description": "`true` if the key had decided this request before.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string"}},
    "Allow": {"description": "The methods this address takes.", "schema": {"type": "string"}},
}
LIMIT_HEADERS = ("X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
REPLAYED = ("Idempotent-Replayed",)

# status → code, title, detail, headers of its own; examples of what the address may answer
PROBLEMS: dict[int, tuple[str, str, str, tuple[str, ...]]] = {
    400: ("malformed_json", "The body is not valid JSON", "The body is empty; send a JSON object.", LIMIT_HEADERS),
    401: (
        "unauthenticated",
        "A valid API key is needed",
        "Send a valid API key in the X-API-Key header.",
        ("X-Request-ID", "WWW-Authenticate"),
    ),
    403: ("missing_scope", "The API key lacks a scope", "This API key lacks the scope points:write.", LIMIT_HEADERS),
    404: ("not_found", "Not found", "There is no participant 'user_123' yet; the first award creates one.", LIMIT_HEADERS),
    405: ("method_not_allowed", "Method not allowed", "This address does not take that method.", (*LIMIT_HEADERS, "Allow")),
    406: (
        "not_acceptable",
        "There is no such form of the answer",
        "Ask for application/json or text/csv in the Accept header, or send none.",
        LIMIT_HEADERS,
    ),
    409: ("conflict", "That conflicts with what is there", "The transaction was reversed before.", LIMIT_HEADERS),
    413: ("body_too_large", "The body is too large", "The body may have 1 MiB here.", LIMIT_HEADERS),
    415: (
        "unsupported_media_type",
        "The body must be JSON",
        "Send the body as Content-Type: application/json, in UTF-8.",
        LIMIT_HEADERS,
    ),
    422: (
        "invalid_request",
        "The request has invalid values",
        "amount: Must be a whole number from 1 to 1000000.",
        LIMIT_HEADERS,
    ),
    429: (
        "rate_limited",
        "Too many requests",
        "The API key is limited to 1000 requests a minute; try again in 7 s.",
        (*LIMIT_HEADERS, "Retry-After"),
    ),
    503: (
        "unavailable",
        "Try again shortly",
        "The service cannot answer at the moment; try again shortly.",
        ("X-Request-ID", "Retry-After"),
    ),
}
EVERYWHERE = (401, 403, 405, 429, 503)
WITH_BODY = (400, 413, 415, 422)


class ParticipantIdConverter(PathConverter):
    """Any participant id, whatever it holds: slashes at its ends, line feeds. Routes match by their fixed end."""

    regex = r"(?s:.+?)"
    part_isolating = False

    def __init__(self, map: Map) -> None:  # noqa: A002  # werkzeug's name
        super().__init__(map)


class BareParticipantIdConverter(ParticipantIdConverter):
    """An id at the end of an address, but none that ends as an address below it does: that is somebody else's."""

    regex = r"(?s:.+?)(?<!/points)(?<!/points/transactions)(?<!/tier)"


class Blueprint(flask_smorest.Blueprint):
    """A blueprint that reads requests our way."""

    ARGUMENTS_PARSER = Parser()

    def ok(self, schema: type, example: Any, *, headers: tuple[str, ...] = ()) -> Callable[[Decorated], Decorated]:
        """Document (and dump) the answer 200."""
        return self.response(200, schema, description="Done.", example=example, headers=_references((*LIMIT_HEADERS, *headers)))  # type: ignore[no-any-return]  # untyped there

    def ok_as_csv(self, example: str) -> Callable[[Decorated], Decorated]:
        """Document the answer 200 in the form of a file beside the one that `ok` documents."""
        return self.response(200, {"type": "string"}, content_type="text/csv", description="Done.", example=example)  # type: ignore[no-any-return]  # untyped there

    def problems(
        self, *statuses: int, parameters: Sequence[dict[str, Any]] = (), **details: tuple[str, str, str]
    ) -> Callable[[Decorated], Decorated]:
        """Document the problems of a route; `s400=(code, title, detail)` replaces the example of a status.

        By hand and not by `alt_response`, which would wrap the view once more for each of them.
        """
        responses = {}
        for status in sorted({*EVERYWHERE, *statuses}):
            code, title, detail, headers = PROBLEMS[status]
            code, title, detail = details.get(f"s{status}", (code, title, detail))
            content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": _problem(status, code, title, detail)}
            responses[status] = {"description": f"{title}.", "headers": _references(headers), "content": {PROBLEM: content}}
        documented: Callable[[Decorated], Decorated] = self.doc(
            responses=responses, **({"parameters": list(parameters)} if parameters else {})
        )
        return documented


class Api(flask_smorest.Api):
    """OpenAPI for our blueprints; errors are answered by `problems`, for the whole app."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        pass


def init_app(app: Flask) -> Api:
    """Set up the document and serve it."""
    app.config.update(API_TITLE="Points API", API_VERSION="v1", OPENAPI_VERSION="3.1.0")
    app.url_map.merge_slashes = False
    app.url_map.converters |= {"participant_id": ParticipantIdConverter, "bare_participant_id": BareParticipantIdConverter}
    api = Api(
        app,
        spec_kwargs={
            "info": {"description": INTRODUCTION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
            "servers": [{"url": "/", "description": "This deployment"}],
        },
    )
    for converter in (ParticipantIdConverter, BareParticipantIdConverter):
        api.register_converter(converter, lambda _converter: {"type": "string", "minLength": 1})
    api.spec.components.security_scheme(
        "X-API-Key", {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`gk_live_…` or `gk_test_…`"}
    )
    api.spec.components.schema("Problem", schema=ProblemSchema)
    for name, header in HEADERS.items():
        api.spec.components.header(name, header)
    api.spec.options["security"] = [{"X-API-Key": []}]

    pages = FlaskBlueprint("openapi", __name__)

    @pages.get("/api/v1/openapi.json")
    def openapi() -> Any:
        return jsonify(api.spec.to_dict())

    app.register_blueprint(pages)
    return api


def _references(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _problem(status: int, code: str, title: str, detail: str) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": f"/docs#problem-{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": "0198f0c2a1b27c3d9e4f5a6b7c8d9e0f",
    }
    if status == 422:  # noqa: PLR2004  # the one that lists fields
        field, _, message = detail.partition(": ")
        example["errors"] = [{"field": field, "message": message}]
    return example
