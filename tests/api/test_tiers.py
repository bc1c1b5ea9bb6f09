"""Tiers over the API: draft, preview, publish, versions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gamify.services import publishing

from tests.harness import BASE, Answer, Api, TenantUnderTest

TIERS = f"{BASE}/tiers"
HIGHER = [{"code": "bronze", "threshold": 0}, {"code": "silver", "threshold": 1000}, {"code": "gold", "threshold": 3000}]
LATER = "2100-01-01T00:00:00Z"


def get(api: Api, path: str = "") -> Any:
    answer = api.request("GET", TIERS + path)
    assert answer.status == 200, answer.body
    return answer.json


def post(api: Api, path: str, headers: dict[str, str] | None = None, **body: Any) -> Answer:
    return api.request("POST", f"{TIERS}/{path}", body=body, headers=headers)


def put(api: Api, tiers: Any = HIGHER, **body: Any) -> Answer:
    return api.request("PUT", f"{TIERS}/draft", body={"revision": get(api, "/draft")["revision"], "tiers": tiers, **body})


def publish(api: Api, **body: Any) -> Answer:
    return post(api, "publish", **{"revision": get(api, "/draft")["revision"], **body})


@pytest.fixture
def shop(api: Api) -> Api:
    for who, points in {"ann": 10, "cat": 700, "eve": 2000}.items():
        api.award(who, points)
    return api


def test_the_tiers_in_force_tell_who_holds_them(shop: Api):
    found = get(shop)

    assert [(tier["code"], tier["level"], tier["participants"]) for tier in found["tiers"]] == [
        ("bronze", 1, 1),
        ("silver", 2, 1),
        ("gold", 3, 1),
    ]
    assert (found["version"], found["is_settled"], found["recalculation"]) == (1, True, None)
    assert found["qualification"] == {"basis": "lifetime", "window_days": None, "grace_days": None, "time_zone": "UTC"}


def test_a_draft_is_saved_looked_at_and_published(shop: Api):
    draft = put(shop).json
    seen = post(shop, "preview", falling="move_down", movers={}).json
    done = publish(shop, falling="move_down", reason="Spring").json

    assert (draft["is_saved"], draft["problems"], draft["tiers"][1]["name"]) == (True, [], "Silver Tier")
    assert (seen["fall"], seen["is_complete"], seen["progress"]) == (2, True, {"done": 3, "total": 3})
    assert [(row["participant_id"], row["before"], row["after"]) for row in seen["movers"]["participants"]] == [
        ("cat", "silver", "bronze"),
        ("eve", "gold", "silver"),
    ]
    assert done == {"version": 2, "publish_at": None}
    found = get(shop)
    assert (found["version"], found["is_settled"], found["reason"]) == (2, True, "Spring")
    assert [tier["participants"] for tier in found["tiers"]] == [2, 1, 0]
    assert shop.award("eve", 1000).json["tier_upgrade"]["code"] == "gold"


def test_a_draft_that_cannot_be_published_yet_is_kept_with_its_problems(shop: Api):
    made = put(shop, [{"code": "gold"}, {"code": "gold", "threshold": 5}])

    assert made.status == 200
    assert [problem["field"] for problem in made.json["problems"]] == ["tiers.0.code", "tiers.0.threshold", "tiers.1.code"]
    refused = publish(shop)
    assert (refused.status, refused.fields) == (422, ["tiers.0.code", "tiers.0.threshold", "tiers.1.code"])


def test_the_second_of_two_is_told_whose_draft_it_is(shop: Api, tenant: TenantUnderTest):
    seen = get(shop, "/draft")["revision"]
    theirs = put(shop.with_key(tenant.issue("tiers:read", "tiers:write"))).json
    refused = put(shop, [], revision=seen)

    assert (refused.status, refused.code) == (409, "draft_changed")
    assert refused.json["draft"] == theirs
    assert theirs["changed_by"] in refused.json["detail"]


def test_the_same_draft_again_is_answered_as_saved(shop: Api):
    seen = get(shop, "/draft")["revision"]

    assert put(shop, revision=seen).json == put(shop, revision=seen).json


def test_how_participants_qualify_stays_unless_said(shop: Api):
    window = {"basis": "window", "window_days": 90}
    assert put(shop, qualification=window).json["qualification"] == {**window, "grace_days": None}

    assert put(shop, []).json["qualification"]["window_days"] == 90


def test_other_tiers_than_the_drafts_can_be_looked_at(shop: Api):
    seen = post(shop, "preview", tiers=[{"code": "bronze", "threshold": 0}], falling="move_down").json

    assert seen["fall"] == 2
    assert seen["movers"] is None
    assert not get(shop, "/draft")["is_saved"]


def test_movers_come_page_by_page(shop: Api):
    put(shop)
    first = post(shop, "preview", falling="move_down", movers={"limit": 1, "direction": "fall"}).json["movers"]
    cursor = first["next_cursor"]
    second = post(shop, "preview", falling="move_down", movers={"limit": 1, "direction": "fall", "cursor": cursor}).json["movers"]

    assert [page["participants"][0]["participant_id"] for page in (first, second)] == ["cat", "eve"]
    assert second["next_cursor"] is None


def test_one_key_publishes_once_and_answers_for_ever(shop: Api):
    revision = put(shop).json["revision"]
    first = post(shop, "publish", revision=revision, idempotency_key="spring")
    again = post(shop, "publish", {"Idempotency-Key": "spring"}, revision=revision)
    put(shop, [{"code": "bronze", "threshold": 1}])
    later = post(shop, "publish", revision=revision, idempotency_key="spring", falling="keep")

    assert first.json == again.json == later.json == {"version": 2, "publish_at": None}
    assert [answer.headers.get("Idempotent-Replayed") for answer in (first, again, later)] == [None, "true", "true"]
    other = post(shop, "publish", revision=revision, idempotency_key="spring", falling="move_down")
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    assert shop.award("ann", 1, idempotency_key="spring").code == "idempotency_mismatch"
    assert get(shop)["version"] == 2


def test_a_key_that_an_award_has_used_publishes_nothing(shop: Api):
    shop.award("ann", 1, idempotency_key="taken")
    put(shop)

    assert publish(shop, idempotency_key="taken").code == "idempotency_mismatch"


def test_a_refusal_leaves_the_key_free(shop: Api):
    assert publish(shop, idempotency_key="k").status == 409
    put(shop)

    assert publish(shop, idempotency_key="k").json["version"] == 2


def test_a_draft_can_wait_to_be_published_and_be_called_back(shop: Api):
    put(shop)
    assert publish(shop, publish_at=LATER, reason="New year").json == {"version": None, "publish_at": LATER}
    waiting = get(shop, "/draft")["publication"]
    refused = put(shop, [])

    assert (waiting["publish_at"], waiting["reason"], waiting["falling"]) == (LATER, "New year", "keep")
    assert (refused.status, refused.code) == (409, "conflict")
    revision = get(shop, "/draft")["revision"]
    assert post(shop, "publish/cancel", revision=revision).json["publication"] is None
    assert post(shop, "publish/cancel", revision=revision).status == 409


def test_what_waits_is_published_by_the_job(shop: Api, tenant: TenantUnderTest):
    put(shop)
    publish(shop, publish_at=LATER)
    publishing.publish_due(tenant.here.database, tenant.id, now=datetime(2100, 1, 1, tzinfo=UTC))

    assert get(shop)["version"] == 2


def test_a_draft_is_discarded(shop: Api):
    revision = put(shop).json["revision"]

    assert shop.request("DELETE", f"{TIERS}/draft?revision=1").code == "draft_changed"
    gone = shop.request("DELETE", f"{TIERS}/draft?revision={revision}").json
    assert (gone["is_saved"], gone["tiers"][1]["threshold"]) == (False, 500)
    assert shop.request("DELETE", f"{TIERS}/draft").fields == ["revision"]


def test_versions_tell_who_why_and_what(shop: Api, tenant: TenantUnderTest):
    put(shop)
    publish(shop, reason="Spring")
    page = get(shop, "/versions?limit=1")
    [newest] = page["versions"]

    assert (newest["version"], newest["reason"], newest["published_by"]) == (2, "Spring", tenant.key[:16])
    assert [(change["code"], change["before"]["threshold"], change["after"]["threshold"]) for change in newest["changes"]] == [
        ("silver", 500, 1000),
        ("gold", 1500, 3000),
    ]
    rest = get(shop, f"/versions?cursor={page['next_cursor']}")
    assert ([each["version"] for each in rest["versions"]], rest["next_cursor"]) == ([1], None)


def test_a_former_version_is_restored_as_a_draft(shop: Api):
    put(shop)
    publish(shop)
    restored = post(shop, "versions/1/restore", revision=get(shop, "/draft")["revision"]).json

    assert [tier["threshold"] for tier in restored["tiers"]] == [0, 500, 1500]
    assert publish(shop).json["version"] == 3
    for unknown in ("9", str(2**40), str(10**30)):
        assert post(shop, f"versions/{unknown}/restore", revision=1).status == 404


def test_a_test_key_works_on_the_sandboxs_ladder(shop: Api, tenant: TenantUnderTest):
    sandbox = shop.with_key(tenant.test_key)
    put(sandbox)
    publish(sandbox)

    assert (get(sandbox)["version"], get(shop)["version"]) == (2, 1)
    assert not get(shop, "/draft")["is_saved"]


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("publish", {"revision": 1, "effect": "soon"}, ["effect"]),
        ("publish", {"revision": 1, "falling": None}, ["falling"]),
        ("publish", {"revision": "1"}, ["revision"]),
        ("publish", {"revision": True}, ["revision"]),
        ("publish", {}, ["revision"]),
        ("publish", {"revision": 1, "publish_at": 5}, ["publish_at"]),
        ("publish", {"revision": 1, "publish_at": "tomorrow"}, ["publish_at"]),
        ("publish", {"revision": 1, "publish_at": "2020-01-01T00:00:00Z"}, ["publish_at"]),
        ("publish", {"revision": 1, "falling": "keep_until"}, ["kept_until"]),
        ("publish", {"revision": 1, "reason": "x" * 501}, ["reason"]),
        ("publish", {"revision": 1, "when": 1}, ["when"]),
        ("preview", {"tiers": [{"code": "a"}]}, ["tiers.0.threshold"]),
        ("preview", {"tiers": [{"code": "a", "threshold": 2**63}]}, ["tiers.0.threshold"]),
        ("preview", {"tiers": [{"code": "a", "threshold": 1.5}]}, ["tiers.0.threshold"]),
        ("preview", {"tiers": [{"code": "a", "threshold": 1, "color": "red"}]}, ["tiers.0.color"]),
        ("preview", {"tiers": [{"code": "a", "threshold": 1, "colour": "red"}]}, ["tiers.0.colour"]),
        ("preview", {"tiers": "none"}, ["tiers"]),
        ("preview", {"tiers": [5]}, ["tiers.0"]),
        ("preview", {"qualification": {"basis": "window"}}, ["qualification.window_days"]),
        ("preview", {"qualification": {"basis": "week"}}, ["qualification.basis"]),
        ("preview", {"kept_until": "2100-01-01T00:00:00Z"}, ["kept_until"]),
        ("preview", {"movers": {"before": "nope"}}, ["movers.before"]),
        ("preview", {"movers": {"after": "nope"}}, ["movers.after"]),
        ("preview", {"movers": {"limit": 0}}, ["movers.limit"]),
        ("preview", {"movers": {"cursor": "nonsense"}}, ["movers.cursor"]),
        ("preview", {"continue_from": "nonsense"}, ["continue_from"]),
        ("versions/1/restore", {}, ["revision"]),
    ],
)
def test_what_is_wrong_is_named(shop: Api, path: str, body: dict[str, Any], fields: list[str]):
    answer = post(shop, path, **body)

    assert (answer.status, answer.fields) == (422, fields)


def test_scopes_tell_who_may_what(shop: Api, tenant: TenantUnderTest):
    reader = shop.with_key(tenant.issue("tiers:read"))
    stranger = shop.with_key(tenant.issue("points:write", "tiers:write"))

    assert post(reader, "preview").status == 200
    for path in ("publish", "publish/cancel", "versions/1/restore"):
        assert post(reader, path).status == 403
    assert reader.request("PUT", f"{TIERS}/draft", body=b"no json").status == 403
    for path in ("", "/draft", "/versions"):
        assert stranger.request("GET", TIERS + path).status == 403


def test_tiers_kept_until_a_date_say_so(shop: Api):
    until = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
    put(shop)
    publish(shop, falling="keep_until", kept_until=until)
    found = get(shop)

    assert (found["falling"], found["kept_until"]) == ("keep_until", until)
    assert [tier["participants"] for tier in found["tiers"]] == [1, 1, 1]
