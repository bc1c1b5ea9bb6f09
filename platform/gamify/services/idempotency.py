"""When two requests are the same: a fingerprint over JSON values, not over their spelling."""

import hashlib
import json
from typing import Any

DIGEST_SIZE = 16  # bytes


def fingerprint(operation: str, *values: Any) -> bytes:
    """Return 16 bytes that are equal exactly for equal requests.

    Values are compared as JSON values: the order of members and the spelling of numbers do not matter (`1` is `1.0`),
    their kinds do (`1` is neither `true` nor `"1"`). Raises `RecursionError` for values nested beyond reason.
    """
    canonical = json.dumps([operation, *map(_canonical, values)], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=DIGEST_SIZE).digest()


def _canonical(value: Any) -> Any:
    """Numbers by value: what is whole becomes an integer (which also makes -0.0 a 0)."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: _canonical(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value
