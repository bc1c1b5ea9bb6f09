"""JSON objects of a tenant's own: what they may hold, and how one changes another."""

from typing import Any

import pytest
from gamify.services.json_objects import is_same, merged, problem


@pytest.mark.parametrize(
    ("value", "patch", "expected"),
    [  # the examples of RFC 7396 that concern objects
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "foo"}, None, None),
    ],
)
def test_a_patch_is_applied_as_its_standard_says(value: Any, patch: Any, expected: Any):
    before = str(value)

    assert merged(value, patch) == expected
    assert str(value) == before


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ("a", None, False),
        (None, None, True),
    ],
)
def test_values_are_the_same_if_they_are_the_same_json(one: Any, other: Any, *, expected: bool):
    assert is_same(one, other) is expected


@pytest.mark.parametrize(
    "value", [{"a": "\0"}, {"\0": 1}, {"a": ["\ud800"]}, {"a": [{"b": 2**63}]}, {"a": float("inf")}, {"a": "x" * 16_400}]
)
def test_what_cannot_be_kept_is_told(value: dict[str, Any]):
    assert problem(value)
    assert problem({"a": [value]})
    assert problem({"a": [{"b": "c"}], "d": None, "e": 1.5, "f": True}) is None
