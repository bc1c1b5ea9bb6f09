"""Participants as people: registered, listed, found, changed and erased."""

from typing import Any
from urllib.parse import urlencode

import pytest
from gamify.api.registry_schemas import ErasedSchema, ParticipantSchema, ParticipantsSchema
from gamify.services import audit, erasures
from gamify.services.audit import Filter

from tests.api.test_reading import NEVER_TAKEN, ODD_IDS
from tests.harness import BASE, Answer, Api, TenantUnderTest, quote

PEOPLE = f"{BASE}/participants"
MEMBERS = set(ParticipantSchema().fields)


def register(api: Api, participant_id: Any, **said: Any) -> Answer:
    return api.request("POST", PEOPLE, body={"participant_id": participant_id, **said})


def get(api: Api, participant_id: str) -> Answer:
    return api.request("GET", f"{PEOPLE}/{quote(participant_id)}")


def change(api: Api, participant_id: str, patch: Any) -> Answer:
    return api.request("PATCH", f"{PEOPLE}/{quote(participant_id)}", body=patch)


def erase(api: Api, participant_id: str) -> Answer:
    return api.request("DELETE", f"{PEOPLE}/{quote(participant_id)}")


def at(participant_id: str) -> str:
    """The address that reaches any id."""
    return f"{PEOPLE}?{urlencode({'participant_id': participant_id})}"


def listed(api: Api, **query: Any) -> list[str]:
    answer = api.request("GET", f"{PEOPLE}?{urlencode(query)}")
    assert answer.status == 200, answer.body
    return [person["participant_id"] for person in answer.json["participants"]]


def test_who_is_registered_is_shown_with_every_member(api: Api):
    made = register(api, "ann", display_name="Ann", attributes={"plan": "pro", "n": 2**53 + 1, "x": 0.1})

    assert made.status == 200
    assert set(made.json) == MEMBERS
    zeros = {"balance": 0, "total_earned": 0, "total_spent": 0, "last_transaction_at": None, "erased_at": None}
    said = {"participant_id": "ann", "display_name": "Ann", "attributes": {"plan": "pro", "n": 2**53 + 1, "x": 0.1}}
    assert made.json.items() >= (zeros | {"tier": {"code": "bronze", "name": "Bronze Tier", "level": 1}} | said).items()
    assert made.json["created_at"].endswith("Z")
    assert made.json["updated_at"].endswith("Z")
    assert get(api, "ann").json == made.json


def test_whom_an_award_has_made_is_shown_too(api: Api):
    api.award("ann", 700)
    api.deduct("ann", 100)
    shown = get(api, "ann").json

    assert (shown["balance"], shown["total_earned"], shown["total_spent"]) == (600, 700, 100)
    assert shown["tier"]["code"] == "silver"
    assert (shown["display_name"], shown["attributes"], shown["updated_at"]) == (None, {}, None)
    assert shown["last_transaction_at"] == api.history("ann").json["transactions"][0]["created_at"]


def test_answers_keep_to_their_schemas(api: Api):
    shown = register(api, "ann", display_name="Ann").json
    page = api.request("GET", PEOPLE).json
    erased = erase(api, "ann").json

    assert ParticipantSchema().validate(shown) == {}
    assert (ParticipantsSchema().validate(page), set(page)) == ({}, {"participants", "next_cursor"})
    assert (ErasedSchema().validate(erased), set(erased)) == ({}, {"participant_id", "erased_at"})


def test_registering_again_is_harmless_and_changes_what_is_said(api: Api):
    first = register(api, "ann", display_name="Ann", attributes={"a": 1})
    assert register(api, "ann", display_name="Ann", attributes={"a": 1}).json == first.json
    assert register(api, "ann").json == first.json
    assert register(api, "ann", display_name=None, attributes=None).json == first.json

    other = register(api, "ann", attributes={"b": 2}).json
    assert (other["display_name"], other["attributes"]) == ("Ann", {"b": 2})


def test_a_patch_merges_and_null_takes_away(api: Api):
    register(api, "ann", display_name="Ann", attributes={"a": {"b": 1, "c": 2}})

    assert change(api, "ann", {}).json["display_name"] == "Ann"
    patch = {"attributes": {"a": {"b": None}, "d": 1}}
    assert change(api, "ann", patch).json["attributes"] == {"a": {"c": 2}, "d": 1}
    assert change(api, "ann", patch).json["attributes"] == {"a": {"c": 2}, "d": 1}
    gone = change(api, "ann", {"display_name": None, "attributes": None}).json
    assert (gone["display_name"], gone["attributes"]) == (None, {})


@pytest.mark.parametrize("participant_id", ODD_IDS)
def test_every_id_is_registered_found_changed_and_erased(api: Api, participant_id: str):
    ends_like_another = participant_id.endswith(("/points", "/points/transactions", "/tier"))
    bare, query = f"{PEOPLE}/{quote(participant_id)}", at(participant_id)
    assert register(api, participant_id, display_name="one").json["participant_id"] == participant_id

    for path in [query] if ends_like_another else [bare, query]:
        found = api.request("GET", path).json
        assert [participant_id] == [each["participant_id"] for each in found.get("participants", [found])]
        changed = api.request("PATCH", path, body={"display_name": path[-9:]}).json
        assert (changed["participant_id"], changed["display_name"]) == (participant_id, path[-9:])
    erased = api.request("DELETE", query if ends_like_another else bare)
    assert (erased.status, erased.json["participant_id"]) == (200, participant_id)
    assert api.request("GET", query).json["participants"] == []


def test_what_is_below_a_participant_is_not_taken_for_an_id(api: Api):
    api.award("a", 5)
    register(api, "a/points", display_name="somebody else")

    assert get(api, "a/points").json == {"participant_id": "a", "balance": 5, "total_earned": 5, "total_spent": 0}
    assert [erase(api, one).status for one in ("a/points", "a/points/transactions")] == [405, 405]
    assert change(api, "a/points", {}).status == 405
    assert api.request("POST", f"{PEOPLE}/a", body={}).status == 405
    assert listed(api) == ["a", "a/points"]


@pytest.mark.parametrize("participant_id", NEVER_TAKEN)
def test_an_id_that_nobody_can_have_is_unknown_and_cannot_be_registered(api: Api, participant_id: str):
    assert register(api, participant_id).fields == ["participant_id"]
    assert listed(api, participant_id=participant_id) == []
    for method, body in (("PATCH", {}), ("DELETE", None)):
        assert api.request(method, at(participant_id), body=body).status == 404
    if participant_id not in ("", ".", ".."):  # no URL carries these
        assert [get(api, participant_id).status, erase(api, participant_id).status] == [404, 404]


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ({"participant_id": None}, ["participant_id"]),
        ({"participant_id": 5}, ["participant_id"]),
        ({"display_name": ""}, ["display_name"]),
        ({"display_name": "\u2003"}, ["display_name"]),
        ({"display_name": "x" * 201}, ["display_name"]),
        ({"display_name": 5}, ["display_name"]),
        ({"display_name": "a\0"}, ["display_name"]),
        ({"attributes": []}, ["attributes"]),
        ({"attributes": "x"}, ["attributes"]),
        ({"attributes": {"a": "x" * 17_000}}, ["attributes"]),
        ({"attributes": {"a": 2**63}}, ["attributes"]),
        ({"attributes": {"a\0": 1}}, ["attributes"]),
        ({"displayName": "x"}, ["displayName"]),
        ({"display_name": 5, "attributes": 5}, ["display_name", "attributes"]),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(api: Api, said: dict[str, Any], fields: list[str]):
    answer = api.request("POST", PEOPLE, body={"participant_id": "ann", **said})
    assert (answer.status, sorted(answer.fields)) == (422, sorted(fields))
    assert listed(api) == []

    register(api, "ann", display_name="Ann")
    patch = {name: value for name, value in said.items() if name != "participant_id"} or {"participant_id": "bob"}
    answer = change(api, "ann", patch)
    assert (answer.status, set(answer.fields)) == (422, set(patch))
    assert get(api, "ann").json["display_name"] == "Ann"


def test_names_and_attributes_have_just_these_bounds(api: Api):
    deep: Any = 1
    for _ in range(32):
        deep = {"a": deep}
    assert register(api, "x" * 255, display_name="\U0001f600" * 200, attributes=deep).json["attributes"] == deep
    assert register(api, "ann", attributes={"a": deep}).fields == ["attributes"]
    assert register(api, "ann", attributes={"a": "x" * (16 * 1024 - 8)}).status == 200
    assert change(api, "ann", {"attributes": {"b": 1}}).fields == ["attributes"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("tier=platinum", "tier"),
        ("cursor=x", "cursor"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("q=%00", "q"),
        ("name=x", "name"),
        ("q=a&q=b", "q"),
        ("participant_id=a&q=b", "q"),
    ],
)
def test_a_list_says_what_cannot_be_asked_for(api: Api, query: str, field: str):
    answer = api.request("GET", f"{PEOPLE}?{query}")

    assert (answer.status, answer.fields) == (422, [field])


def test_the_list_goes_on_by_cursor_in_the_order_of_ids(api: Api):
    for n in (3, 1, 5, 2, 4):
        register(api, f"p{n}")
    api.award("p0", 1)
    pages, cursor = [], ""
    while cursor is not None:
        page = api.request("GET", f"{PEOPLE}?limit=4" + (f"&cursor={cursor}" if cursor else "")).json
        pages.append([person["participant_id"] for person in page["participants"]])
        cursor = page["next_cursor"]

    assert pages == [["p0", "p1", "p2", "p3"], ["p4", "p5"]]


def test_the_list_is_narrowed_by_tier_and_by_part_of_id_or_name(api: Api):
    api.award("gold_one", 2000)
    register(api, "user_1", display_name="Goldie Hawn")
    register(api, "user_2", display_name="Silvio")

    assert listed(api, tier="gold") == ["gold_one"]
    assert listed(api, tier="bronze") == ["user_1", "user_2"]
    assert listed(api, q="OLD") == ["gold_one", "user_1"]
    assert listed(api, q="old", tier="bronze") == ["user_1"]
    assert listed(api, q="us") == ["user_1", "user_2"]
    assert listed(api, q="hawn", limit=1) == ["user_1"]
    assert listed(api, participant_id="user_2") == ["user_2"]
    assert listed(api, participant_id="USER_2") == []


def test_an_erased_person_is_unknown_and_the_sums_stay(api: Api, tenant: TenantUnderTest):
    api.award("ann@mail", 700, reason="for Ann", metadata={"name": "Ann"})
    register(api, "ann@mail", display_name="Ann", attributes={"a": 1})

    gone = erase(api, "ann@mail")

    assert (gone.status, gone.json["participant_id"]) == (200, "ann@mail")
    assert [get(api, "ann@mail").status, api.points("ann@mail").status, erase(api, "ann@mail").status] == [404, 404, 404]
    [left] = api.request("GET", PEOPLE).json["participants"]
    assert left["participant_id"].startswith("erased-")
    assert left["erased_at"] == gone.json["erased_at"]
    assert (left["balance"], left["tier"]["code"], left["display_name"], left["attributes"]) == (700, "silver", None, {})
    [entry] = api.history(left["participant_id"]).json["transactions"]
    assert (entry["amount"], entry["reason"], entry["metadata"]) == (700, None, None)
    assert register(api, left["participant_id"]).code == "conflict"
    assert api.award("ann@mail", 1).json["new_balance"] == 1


def test_an_erasure_is_in_the_audit_log_without_the_person(api: Api, tenant: TenantUnderTest):
    register(api, "ann@mail", display_name="Ann")
    change(api, "ann@mail", {"display_name": "Anne"})
    erase(api, "ann@mail")

    with tenant.here.database.transaction(tenant.id) as session:
        [entry] = audit.search(session, tenant.id, Filter(action="participant"), limit=9)
        shown = str(audit.shown(entry))
    assert (entry.action, entry.actor_kind, entry.actor) == ("participant.erase", "key", tenant.key[:16])
    assert "ann" not in shown.lower()


def test_many_entries_are_blanked_as_quickly_as_somebody_waits_and_the_rest_later(api: Api, tenant: TenantUnderTest, monkeypatch):
    monkeypatch.setattr(erasures, "AT_ONCE", 10)
    monkeypatch.setattr(erasures, "QUICK", 0)
    for n in range(3):
        api.batch([{"participant_id": "ann", "amount": 1, "reason": f"Ann {n}"} for _ in range(50)])

    assert erase(api, "ann").status == 200
    [left] = listed(api)
    oldest = api.history(left, page=2, page_size=75).json["transactions"]
    assert {entry["reason"] for entry in oldest[-10:]} == {None}
    assert None not in {entry["reason"] for entry in oldest[:-10]}

    assert erasures.catch_up(tenant.here.database, tenant.id, seconds=5)
    assert {entry["reason"] for entry in api.history(left, page=2, page_size=75).json["transactions"]} == {None}


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", PEOPLE, "participants:read"),
        ("POST", PEOPLE, "participants:write"),
        ("PATCH", PEOPLE, "participants:write"),
        ("DELETE", PEOPLE, "participants:write"),
        ("GET", f"{PEOPLE}/ann", "participants:read"),
        ("PATCH", f"{PEOPLE}/ann", "participants:write"),
        ("DELETE", f"{PEOPLE}/ann", "participants:write"),
    ],
)
def test_each_needs_its_scope_before_anything_is_looked_at(api: Api, tenant: TenantUnderTest, method: str, path: str, scope: str):
    register(api, "ann")
    other = {"participants:read": "participants:write", "participants:write": "participants:read"}[scope]
    refused = api.with_key(tenant.issue(other, "points:read")).request(method, f"{path}?typo=1", body=b"no json")

    assert (refused.status, refused.code) == (403, "missing_scope")
    assert scope in refused.json["detail"]
    assert listed(api) == ["ann"]


@pytest.mark.parametrize("address", [("POST", PEOPLE), ("PATCH", f"{PEOPLE}/ann"), ("PATCH", PEOPLE)], ids=" ".join)
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"{", "application/json", 400),
    ],
)
def test_bodies_are_checked_from_outside_in(api: Api, address: tuple[str, str], body: bytes, content_type: str, status: int):
    method, path = address

    assert api.request(method, f"{path}?typo=1", body=body, headers={"Content-Type": content_type}).status == status


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_nobody_is_changed_or_erased_without_being_named(api: Api, method: str):
    register(api, "ann")

    answer = api.request(method, PEOPLE, body={} if method == "PATCH" else None)

    assert (answer.status, answer.fields) == (422, ["participant_id"])
    assert listed(api) == ["ann"]


def test_the_sandbox_has_people_of_its_own(api: Api, tenant: TenantUnderTest):
    sandbox = api.with_key(tenant.test_key)
    register(api, "ann", display_name="Ann")
    register(sandbox, "ann", display_name="Test")

    assert erase(sandbox, "ann").status == 200
    assert get(api, "ann").json["display_name"] == "Ann"
