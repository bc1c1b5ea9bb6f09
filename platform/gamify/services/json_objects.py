"""JSON objects of a tenant's own making: what they may hold, and how one changes another."""

import json
from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Any

from gamify.services.bounds import text_problem

LARGEST = 16 * 1024  # bytes of compact UTF-8
DEEPEST = 32  # levels; the object itself is the first
INT64 = range(-(2**63), 2**63)


def problem(value: dict[str, Any]) -> str | None:
    """Return why an object cannot be kept with equal values; None if it can."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for item in _items(level):
            if isinstance(item, (dict, list)):
                inner.append(item)
            elif found := _scalar_problem(item):
                return found
        if not inner:
            return _size_problem(value)
        level = inner
    return f"Must be nested at most {DEEPEST} levels deep."


def merged(value: Any, patch: Any) -> Any:
    """Return a value with a patch applied, as RFC 7396 has it: objects are merged and null takes members away."""
    if not isinstance(patch, dict):
        return patch
    made = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            made.pop(name, None)
        else:
            made[name] = merged(made.get(name), change)
    return made


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON; in Python, `True` equals 1."""
    first, second = (json.dumps(value, sort_keys=True) for value in (one, other))
    return first == second


def _items(containers: Iterable[Any]) -> Iterator[Any]:
    """What the containers hold, and the names that it has."""
    for container in containers:
        if isinstance(container, dict):
            yield from container
            yield from container.values()
        else:
            yield from container


def _scalar_problem(value: Any) -> str | None:
    if isinstance(value, str):
        return text_problem(value)
    if isinstance(value, float) and not isfinite(value):
        return "Has a number that is too large."
    if isinstance(value, int) and value not in INT64:
        return "Has an integer outside -2^63 … 2^63-1."
    return None


def _size_problem(value: dict[str, Any]) -> str | None:
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    return f"Must have at most {LARGEST} bytes as compact JSON." if size > LARGEST else None
