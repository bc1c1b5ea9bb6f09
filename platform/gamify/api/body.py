"""Reading requests: media type, size and syntax, in the order in which clients are told of them."""

from typing import Any, NoReturn

from flask import Request, request
from marshmallow import RAISE, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict

from gamify.api import json
from gamify.errors import FieldError, Invalid, Malformed, TooLarge, UnsupportedMediaType

MIB = 1024 * 1024
LIMIT = MIB
READ_AWAY = 8 * MIB  # larger bodies are read up to here, so that a client still sending gets the answer
CHUNK = 64 * 1024


class Parser(FlaskParser):
    """Reads JSON bodies strictly, refuses unknown members and parameters, and raises our own errors."""

    DEFAULT_UNKNOWN_BY_LOCATION = {  # noqa: RUF012  # webargs declares it so
        "json": RAISE,
        "query": RAISE,
    }

    def get_default_request(self) -> Request:
        """Return the request itself: looking it up anew for each of its attributes adds up."""
        current: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # werkzeug's documented way
        return current

    def load_json(self, req: Request, schema: Any) -> Any:
        """Return the body's object. Raises `UnsupportedMediaType`, `TooLarge`, `Malformed`, `Invalid`."""
        body = read(req, limit=getattr(schema, "body_limit", LIMIT))
        refuse_unknown_parameters(getattr(schema, "parameters", ()))
        if not isinstance(body, dict):
            raise Invalid([FieldError("body", "Must be a JSON object.")])
        return body

    def load_querystring(self, req: Request, schema: Any) -> Any:
        """Return the query's parameters, each given once at most."""
        dotted = getattr(schema, "dotted", None)
        of_schema = {field.data_key or name for name, field in schema.fields.items()}
        refuse_unknown_parameters({name for name in req.args if dotted and name.startswith(f"{dotted}.")} | of_schema)
        repeated = [name for name, values in req.args.lists() if len(values) > 1]
        if repeated:
            raise Invalid([FieldError(name, "Is given more than once.") for name in repeated])
        return MultiDict([(name, value) for name, value in req.args.items() if name in of_schema])

    def handle_error(self, error: ValidationError, req: Request, schema: Any, **_: Any) -> NoReturn:  # noqa: ARG002  # webargs calls it
        """Name every field that is wrong."""
        [messages] = error.messages_dict.values()  # webargs puts them under the location that it read: json or query
        raise Invalid(flatten(messages)) from error


def read(req: Request, *, limit: int) -> Any:
    """Return the parsed body of `req`, which may have `limit` bytes."""
    if req.mimetype != "application/json" or req.mimetype_params.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType
    if (req.content_length or 0) > limit:
        drain(req)
        raise TooLarge(f"The body may have {limit // MIB} MiB here.")
    body = req.stream.read(limit + 1)
    if len(body) > limit:
        drain(req)
        raise TooLarge(f"The body may have {limit // MIB} MiB here.")
    if len(body) < (req.content_length or 0):
        raise Malformed("The body breaks off before its end.")
    return json.parse(body)


def drain(req: Request) -> None:
    """Read on and forget, up to `READ_AWAY` bytes; a client that announced more is not waited for."""
    if (req.content_length or 0) > READ_AWAY:
        return
    left = READ_AWAY
    while left > 0 and (chunk := req.stream.read(min(CHUNK, left))):
        left -= len(chunk)


def refuse_unknown_parameters(known: Any) -> None:
    """Raise `Invalid` naming each query parameter that is not in `known`."""
    if request.args and (unknown := [name for name in request.args if name not in known]):
        raise Invalid([FieldError(name, "Is not a known query parameter.") for name in unknown])


def flatten(messages: Any, path: str = "") -> list[FieldError]:
    """Turn marshmallow's nested messages into a list of fields, each with a sentence."""
    if isinstance(messages, dict):
        named = {
            (path if name == "_schema" else f"{path}.{name}") if path else str(name): inner for name, inner in messages.items()
        }
        return [error for name, inner in named.items() for error in flatten(inner, name)]
    return [FieldError(path or "body", str(message)) for message in messages]
