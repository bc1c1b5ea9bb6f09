"""The header Idempotency-Key: the same thing as the member `idempotency_key`."""

from flask import request

from gamify.errors import FieldError, Invalid
from gamify.services.bounds import KEY, LONGEST_KEY, key_problem

KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same as `idempotency_key`; when both are sent they must be equal.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": f"^{KEY.pattern}$"},
}
BATCH_KEY_HEADER = KEY_HEADER | {
    "description": "Stands for the whole batch: the same batch again gets the same answer, failures included."
}


def header_key() -> str | None:
    """Return the key in the request's header, if there is one. Raises `Invalid`; an empty header is no key either."""
    key = request.headers.get("Idempotency-Key")
    problem = None if key is None else key_problem(key)
    if problem:
        raise Invalid([FieldError("Idempotency-Key", problem)])
    return key


def sole_key(in_body: str | None) -> str | None:
    """Return the key of a request that may carry it twice. Raises `Invalid` when the two differ."""
    in_header = header_key()
    if in_header and in_body and in_header != in_body:
        raise Invalid([FieldError("idempotency_key", "Differs from the header Idempotency-Key.")])
    return in_header or in_body
