"""Metadata: any JSON object within its bounds, and it comes back with equal values."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import BASE, Api, TenantUnderTest

LARGEST = 16 * 1024

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5), max_leaves=20
)


def nested(levels: int, opening: str = '{"a":', closing: str = "}") -> str:
    """Return an object of so many levels."""
    return '{"a":' + opening * (levels - 2) + "{}" + closing * (levels - 2) + "}"


def sized(size: int, letter: str = "x") -> dict[str, str]:
    """Return metadata of `size` bytes as compact JSON."""
    room = size - len('{"a":""}')
    wide = len(letter.encode())
    return {"a": letter * (room // wide) + "x" * (room % wide)}


def award(api: Api, metadata: str) -> Any:
    body = f'{{"participant_id": "p", "amount": 1, "metadata": {metadata}}}'
    return api.request("POST", f"{BASE}/points/award", body=body.encode())


def stored(api: Api) -> Any:
    return api.history("p").json["transactions"][0]["metadata"]


@pytest.mark.parametrize("letter", ["x", "é", "\u20ac", "\U0001f600"])
def test_16_kib_of_utf8_is_taken_and_a_byte_more_is_not(api: Api, tenant: TenantUnderTest, letter: str):
    assert api.award("p", metadata=sized(LARGEST + 1, letter)).fields == ["metadata"]
    assert tenant.row_count() == 0
    assert api.award("p", metadata=sized(LARGEST, letter)).status == 200
    assert stored(api) == sized(LARGEST, letter)


def test_size_counts_compact_and_not_as_sent(api: Api):
    spaced = json.dumps(sized(LARGEST)).replace(":", ":" + " " * LARGEST)
    escaped = json.dumps({"a": "é" * 8000})  # 48 kB of \u00e9

    assert award(api, spaced).status == 200
    assert award(api, escaped).status == 200


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]"), ('[1,{"b":2,"a":', "}]")])
def test_32_levels_are_taken_and_33_are_not(api: Api, tenant: TenantUnderTest, opening: str, closing: str):
    step = opening.count("[") + opening.count("{")
    deepest = '{"a":' + opening * (30 // step) + "{}" + closing * (30 // step) + "}"

    assert award(api, deepest.replace("{}", "[[]]")).fields == ["metadata"]
    assert tenant.row_count() == 0
    assert award(api, deepest).status == 200
    assert stored(api) == json.loads(deepest)


@pytest.mark.parametrize("levels", [33, 34, 100, 400])
def test_deeper_metadata_is_named(api: Api, tenant: TenantUnderTest, levels: int):
    answer = award(api, nested(levels))

    assert (answer.status, answer.fields) == (422, ["metadata"])
    assert tenant.row_count() == 0


def test_wide_metadata_is_not_deep(api: Api):
    assert award(api, json.dumps({"a": [[[1], [2]], [[3], {}]] * 100})).status == 200


@pytest.mark.parametrize(
    "metadata",
    [
        "[]",
        '"text"',
        "1",
        "true",
        '{"n": 9223372036854775808}',
        '{"n": -9223372036854775809}',
        '{"n": [1, {"m": 1e400}]}',
        '{"n": -1e400}',
        '{"n": 1' + "0" * 400 + "}",
        '{"n": 1' + "0" * 400 + ".0}",
        '{"s": "a\\u0000b"}',
        '{"a\\u0000b": 1}',
        '{"a": [[{"\\u0000": 1}]]}',
        '{"a": [["\\u0000"]]}',
        '{"s": "\\ud800"}',
        '{"\\udfff": 1}',
    ],
)
def test_metadata_that_cannot_come_back_is_named(api: Api, tenant: TenantUnderTest, metadata: str):
    answer = award(api, metadata)

    assert (answer.status, answer.fields) == (422, ["metadata"])
    assert tenant.row_count() == 0


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1" * 5000])
def test_metadata_that_is_no_json_is_refused(api: Api, tenant: TenantUnderTest, number: str):
    answer = award(api, f'{{"n": {number}}}')

    assert answer.status in {400, 422}
    assert tenant.row_count() == 0


@pytest.mark.parametrize(
    "number",
    [
        "9223372036854775807",
        "-9223372036854775808",
        "9007199254740993",
        "0.1",
        "49.99",
        "1e300",
        "1.7976931348623157e308",
        "5e-324",
        "2.2250738585072014e-308",
        "-0.0",
        "0",
        "1e-400",
        "123456789012345680000000000000.0",
        "3.141592653589793",
    ],
)
def test_number_comes_back_equal(api: Api, number: str):
    award(api, f'{{"n": {number}}}')

    came_back = stored(api)["n"]
    assert came_back == json.loads(number)
    assert type(came_back) is type(json.loads(number))


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"": ""},
        {"a": None, "b": True, "c": False, "d": []},
        {"b": 1, "a": 2, "A": 3},
        {"\U0001f600": "\u2028\u2029\x7f\ufeff", "quote": '"\\/\b\f\n\r\t\x01'},
        {"__proto__": 1, "constructor": {"json": "query"}},
        {"null": "null", "one": 1, "one and a bit": 1.0000000000000002},
    ],
)
def test_metadata_comes_back_equal(api: Api, metadata: dict[str, Any]):
    api.award("p", metadata=metadata)

    assert stored(api) == metadata


def test_deduct_takes_metadata_too(api: Api):
    api.award("p", 10)
    api.deduct("p", 3, metadata={"reward": "mug"}, reason="Mug")

    assert stored(api) == {"reward": "mug"}


@given(metadata=st.dictionaries(text, values, max_size=5))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_metadata_comes_back_equal(api: Api, metadata: dict[str, Any]):
    assert api.award("p", metadata=metadata).status == 200

    assert json.dumps(stored(api)) == json.dumps(metadata)
