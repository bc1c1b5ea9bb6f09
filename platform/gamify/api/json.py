"""JSON in and out: exact numbers on the way in, speed on the way out."""

import json
from typing import Any, NoReturn

import orjson
from flask import Response
from flask.json.provider import JSONProvider

from gamify.errors import Malformed


class OrjsonProvider(JSONProvider):
    """Answers by orjson. Requests are read by `parse` instead: orjson turns large integers into floats unseen."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """Return compact JSON."""
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Parse JSON exactly."""
        return parse(s if isinstance(s, bytes) else s.encode("utf-8", "surrogatepass"))

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a JSON response."""
        body = orjson.dumps(self._prepare_response_obj(args, kwargs))
        return Response(body, mimetype="application/json")


def answer(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """Answer 200 with `body` as it is.

    On the busiest routes, instead of dumping through the schema, which takes many times as long and changes nothing; tests
    hold each such answer against its schema.
    """
    return Response(orjson.dumps(body), 200, headers, mimetype="application/json")


def parse(body: bytes) -> Any:
    """Parse UTF-8 JSON with every number as written. Raises `Malformed`."""
    if not body:
        raise Malformed("The body is empty; send a JSON object.")
    try:
        return DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Malformed("The body is not UTF-8.") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except RecursionError as error:
        raise Malformed("The body is nested too deeply.") from error
    except ValueError as error:  # an integer of thousands of digits
        raise Malformed("The body has a number that is too long.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"The body is not valid JSON: {name} is not a JSON value.")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
