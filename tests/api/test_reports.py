"""Reports over the API tie to the last point, as JSON and as CSV, of whatever days are asked for."""

import csv
import io
import threading
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import psycopg
import pytest
from flask import Flask
from gamify.services import rollups, tenants
from gamify.services.audit import SYSTEM
from gamify.services.reports import age_steps, ages, costs, dimensions
from gamify.services.reports.span import Span

from tests.harness import BASE, Answer, Api, TenantUnderTest
from tests.histories import Event, write

REPORTS = ("roll-forward", "liability", "tiers", "activity")
MOVED = ("awarded", "reversed", "deducted", "given_back")
SIGNS = {"opening": 1, "awarded": 1, "reversed": -1, "deducted": -1, "given_back": 1, "moved_in": 1, "moved_out": -1}
FORMULA = "=HYPERLINK(1)"


def report(api: Api, name: str = "roll-forward", *, accept: str | None = None, **query: Any) -> Answer:
    asked = {key.rstrip("_"): value for key, value in query.items()}
    headers = {} if accept is None else {"Accept": accept}
    return api.request("GET", f"{BASE}/reports/{name}?{urlencode(asked)}", headers=headers)


def get(api: Api, name: str = "roll-forward", **query: Any) -> Any:
    answer = report(api, name, **query)
    assert answer.status == 200, answer.body
    return answer.json


def today(zone: str = "UTC") -> date:
    return datetime.now(ZoneInfo(zone)).date()


def closing(row: dict[str, Any]) -> int:
    return sum(sign * row.get(name, 0) for name, sign in SIGNS.items())


@pytest.fixture
def shop(api: Api, tenant: TenantUnderTest) -> Api:
    """Everything that can move points, with words: ann has 590, bob 0, cat 1,900 points."""
    api.award("ann", 600, reason="Purchase", metadata={"channel": "web"})
    api.award("bob", 50, reason=FORMULA)
    api.award("cat", 1900, metadata={"channel": "till"})
    api.deduct("ann", 10, reason="Reward")
    spent = api.deduct("cat", 100, metadata={"channel": "till"}).json["transaction_id"]
    wrong = api.award("bob", 5).json["transaction_id"]
    api.deduct("bob", 50, reason="Reward")
    for entry in (spent, wrong):
        assert api.request("POST", f"{BASE}/points/transactions/{entry}/reverse", body={}).status == 200
    with tenant.here.database.transaction(tenant.id) as session:
        costs.put(session, tenant.id, valid_from=date(2020, 1, 1), cost="0.01", currency="EUR", actor=SYSTEM)
        dimensions.declare(session, tenant.id, "channel", actor=SYSTEM)
    assert dimensions.make_ready(tenant.here.database, tenant.id)
    return api


# The roll-forward


def test_the_roll_forward_shows_the_equation_period_by_period(shop: Api):
    found = get(shop)

    first, *_, last = rows = found["rows"]
    assert (found["by"], found["unit"], found["zone"], found["compared"]) == ("tenant", "day", "UTC", None)
    assert (first["from"], last["to"], len(rows)) == (found["from"], found["to"], 30)
    assert [row["opening"] for row in rows[1:]] == [row["closing"] for row in rows[:-1]]
    assert all(row["closing"] == closing(row) for row in [*rows, found["totals"]])
    assert [found["totals"][name] for name in MOVED] == [2555, 5, 160, 100]
    assert (found["totals"]["award_count"], found["totals"]["entry_count"]) == (4, 9)
    assert last["closing"] == found["totals"]["closing"] == sum(shop.balance(who) for who in ("ann", "bob", "cat")) == 2490


def test_by_tier_points_also_move_with_their_participants(shop: Api):
    found = get(shop, by="tier")

    tiers = {row["tier"]["code"]: row for row in found["rows"]}
    assert list(tiers) == ["bronze", "silver", "gold"]
    assert tiers["gold"]["tier"]["name"] == "Gold Tier"
    for row in [*found["rows"], found["totals"]]:
        assert row["closing"] == closing(row)
        assert row["participants_after"] == row["participants_before"] + row["came"] - row["went"]
    assert [(row["participants_after"], row["closing"]) for row in found["rows"]] == [(1, 0), (1, 590), (1, 1900)]
    assert (tiers["bronze"]["went"], tiers["bronze"]["moved_out"], tiers["silver"]["moved_in"]) == (2, 2500, 600)
    assert found["totals"]["moved_in"] == found["totals"]["moved_out"]
    assert [found["totals"][name] for name in MOVED] == [2555, 5, 160, 100]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("reason", {None: 5, "Purchase": 1, FORMULA: 1, "Reward": 2}),
        ("metadata.channel", {None: 6, "web": 1, "till": 2}),
        ("key", {"live": 9}),
    ],
)
def test_by_what_has_moved_points_there_are_movements_that_add_up(shop: Api, by: str, expected: dict[str | None, int]):
    found = get(shop, by=by)

    assert {row["name"]: row["entry_count"] for row in found["rows"]} == expected
    assert not any(row["rest"] for row in found["rows"])
    moved = [sum(row[name] for name in MOVED) for row in found["rows"]]
    assert moved == sorted(moved, reverse=True)
    for name in (*MOVED, "award_count", "entry_count"):
        assert sum(row[name] for row in found["rows"]) == found["totals"][name] == get(shop)["totals"][name]
    assert "opening" not in found["totals"]


def test_by_key_each_is_known_by_its_name_and_prefix(shop: Api, tenant: TenantUnderTest):
    [row] = get(shop, by="key")["rows"]

    assert (row["name"], row["prefix"]) == ("live", tenant.key[:16])


def test_what_is_not_shown_by_itself_is_the_rest(api: Api):
    api.batch([{"participant_id": "p", "amount": 100 + n, "reason": f"reason {n}"} for n in range(55)])

    rows = get(api, by="reason")["rows"]

    assert [row["name"] for row in rows[:2]] == ["reason 54", "reason 53"]
    assert [row["rest"] for row in rows] == [False] * 50 + [True]
    assert (rows[-1]["name"], rows[-1]["awarded"], rows[-1]["entry_count"]) == (None, 100 + 101 + 102 + 103 + 104, 5)


def test_a_member_of_the_metadata_that_is_no_dimension_is_refused_by_name(shop: Api):
    refused = report(shop, by="metadata.colour")

    assert (refused.status, refused.fields) == (422, ["by"])
    assert "metadata.colour is no dimension" in refused.json["detail"]


def test_a_dimension_that_is_not_ready_is_waited_for(shop: Api, tenant: TenantUnderTest):
    with tenant.here.database.transaction(tenant.id) as session:
        dimensions.declare(session, tenant.id, "colour", actor=SYSTEM)

    waiting = report(shop, by="metadata.colour")

    assert (waiting.status, waiting.code) == (503, "being_prepared")
    assert "metadata.colour" in waiting.json["detail"]
    assert int(waiting.headers["Retry-After"]) > 0


# Which days


@pytest.mark.parametrize(
    ("query", "begins", "ends", "unit"),
    [
        ({}, -29, 0, "day"),
        ({"period": "today"}, 0, 0, "day"),
        ({"period": "yesterday"}, -1, -1, "day"),
        ({"period": "last_7_days"}, -6, 0, "day"),
        ({"period": "last_90_days"}, -89, 0, "week"),
        ({"period": "all"}, 0, 0, "day"),
        ({"from": -3}, -3, 0, "day"),
        ({"from": 3}, 3, 3, "day"),
        ({"to": -5}, -34, -5, "day"),
        ({"from": -40, "to": -5, "unit": "day"}, -40, -5, "day"),
        ({"from": -400, "to": 0}, -400, 0, "month"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", REPORTS)
def test_the_days_are_those_asked_for(api: Api, name: str, query: dict[str, Any], begins: int, ends: int, unit: str):
    api.award("ann", 5)
    now = today()
    asked = {key: now + timedelta(days=value) if isinstance(value, int) else value for key, value in query.items()}

    found = get(api, name, **asked)

    assert (found["from"], found["to"]) == (str(now + timedelta(days=begins)), str(now + timedelta(days=ends)))
    assert (found["unit"], found["zone"]) == (unit, "UTC")


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"period": "fortnight"}, "period"),
        ({"period": ""}, "period"),
        ({"period": "today", "from": "2026-02-01"}, "period"),
        ({"period": "today", "to": "2026-02-01"}, "period"),
        ({"from": "2026-02-30"}, "from"),
        ({"from": "20260214"}, "from"),
        ({"from": "2026-W07-6"}, "from"),
        ({"from": "2026-02-14T10:00:00Z"}, "from"),
        ({"from": "1969-12-31"}, "from"),
        ({"from": ""}, "from"),
        ({"to": "3000-01-01"}, "to"),
        ({"to": "٢٠٢٦-٠٢-١٤"}, "to"),
        ({"from": "2026-02-14", "to": "2026-02-13"}, "to"),
        ({"unit": "year"}, "unit"),
        ({"unit": "day", "from": "2020-01-01", "to": "2026-01-01"}, "unit"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "europe/berlin"}, "zone"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"zone": "UTC\0"}, "zone"),
        ({"compare": "next"}, "compare"),
        ({"unknown": "1"}, "unknown"),
        ({"tenant": "1"}, "tenant"),
    ],
    ids=str,
)
def test_a_parameter_that_cannot_be_is_refused_by_its_name(api: Api, name: str, query: dict[str, str], field: str):
    refused = report(api, name, **query)

    assert (refused.status, refused.fields) == (422, [field])


@pytest.mark.parametrize(
    ("name", "query", "field"),
    [
        ("roll-forward", {"by": "colour"}, "by"),
        ("roll-forward", {"by": ""}, "by"),
        ("roll-forward", {"by": "metadata."}, "by"),
        ("roll-forward", {"by": "metadata.a\0"}, "by"),
        ("roll-forward", {"as_of": "2026-02-14"}, "as_of"),
        ("liability", {"as_of": "tomorrow"}, "as_of"),
        ("liability", {"by": "tier"}, "by"),
        ("tiers", {"by": "tier"}, "by"),
        ("activity", {"as_of": "2026-02-14"}, "as_of"),
    ],
    ids=str,
)
def test_a_parameter_of_one_report_is_none_of_the_others(api: Api, name: str, query: dict[str, str], field: str):
    assert report(api, name, **query).fields == [field]


def test_a_parameter_given_twice_is_refused(api: Api):
    assert api.request("GET", f"{BASE}/reports/tiers?unit=day&unit=week").fields == ["unit"]


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("query", [{"from": "1970-01-01", "unit": "month", "to": "1970-12-31"}, {"to": "2999-12-31"}], ids=str)
@pytest.mark.parametrize("compare", ["previous", "year"])
def test_the_first_and_the_last_days_there_are_can_be_asked_for(api: Api, name: str, query: dict[str, str], compare: str):
    api.award("ann", 5)

    assert report(api, name, **query, compare=compare).status == 200


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/St_Johns"])
@pytest.mark.parametrize("name", ["roll-forward", "liability", "tiers"])
def test_days_are_those_of_the_zone_asked_for(shop: Api, name: str, zone: str):
    found = get(shop, name, zone=zone, period="today")

    assert (found["from"], found["zone"]) == (str(today(zone)), zone)
    assert get(shop, zone=zone, period="today")["rows"][0]["closing"] == 2490


def test_days_are_those_of_the_tenant_unless_it_is_said_otherwise(shop: Api, tenant: TenantUnderTest):
    zone = "Pacific/Kiritimati"
    with tenant.here.database.transaction() as session:
        tenants.set_profile(session, tenant.slug, name="Shop", time_zone=zone, actor=SYSTEM)
    rollups.rebuild(tenant.here.database, tenant.id)

    for name in REPORTS:
        found = get(shop, name, period="today")
        assert (found["from"], found["zone"]) == (str(today(zone)), zone)
    assert get(shop, "activity", zone=zone, period="today")["active"][0]["participants"] == 3
    refused = report(shop, "activity", zone="UTC")
    assert refused.fields == ["zone"]
    assert f"Must be {zone}, the tenant's own" in refused.json["detail"]


@pytest.mark.parametrize("against", ["previous", "year"])
@pytest.mark.parametrize("name", REPORTS)
def test_what_it_is_compared_with_is_what_is_told_of_those_days(shop: Api, name: str, against: str):
    days = {"from": today() - timedelta(days=6), "to": today()}
    found = get(shop, name, **days, compare=against)

    compared = found["compared"]
    first, last = (date.fromisoformat(compared[end]) for end in ("from", "to"))
    if against == "previous":
        assert (first, last) == (days["from"] - timedelta(days=7), days["from"] - timedelta(days=1))
    else:
        assert (last.year, last.month) == (today().year - 1, today().month)
    as_of = {"as_of": last} if name == "liability" else {}
    alone = get(shop, name, from_=first, to=last, **as_of)
    assert compared == {member: alone[member] for member in compared}
    now = get(shop, name, **days)
    assert {**found, "compared": None} == now


# Liability


def test_the_liability_is_what_is_outstanding_times_its_cost(shop: Api):
    found = get(shop, "liability")

    figures = found["figures"]
    assert (figures["as_of"], figures["points"], figures["cost"]) == (str(today()), 2490, "0.01")
    assert (figures["amount"], figures["currency"]) == ("24.9", "EUR")
    assert (figures["earned"], figures["redeemed"], figures["matured"]) == (2550, 60, 0)
    assert figures["redemption_rate"] == 60 / 2550
    assert (figures["breakage_rate"], figures["breakage"], figures["breakage_amount"]) == (None, None, None)
    assert [(row["tier"]["code"], row["participants"], row["points"], row["amount"]) for row in found["tiers"]] == [
        ("bronze", 1, 0, "0"),
        ("silver", 1, 590, "5.9"),
        ("gold", 1, 1900, "19"),
    ]
    assert [row["points"] for row in found["course"]] == [row["closing"] for row in get(shop)["rows"]]
    assert found["course"][-1] | {"from": ""} == {
        "from": "",
        "to": str(today()),
        "points": 2490,
        "amount": "24.9",
        "currency": "EUR",
    }


def test_as_of_a_day_there_is_what_was_outstanding_then(shop: Api, owner: psycopg.Connection, tenant: TenantUnderTest):
    rollups.advance(tenant.here.database, tenant.id)
    ahead = "UPDATE rollup_progress SET planned_until = planned_until + interval '400 days' WHERE tenant_id = %s"
    assert owner.execute(ahead, [tenant.id]).rowcount == 1
    shop.award("ann", 1000)
    later = today() + timedelta(days=400)

    now, then = get(shop, "liability", as_of=today())["figures"], get(shop, "liability", as_of=later)["figures"]

    assert get(shop, "liability", as_of=today() - timedelta(days=1))["figures"]["points"] == 0
    assert (now["points"], now["matured"]) == (2490, 0)
    assert (then["points"], then["earned"], then["matured"]) == (3490, 3550, 2550)
    assert then["breakage_rate"] == (2550 - 60) / 2550
    assert then["breakage"] == int(3490 * then["breakage_rate"])
    assert Decimal(then["breakage_amount"]) == then["breakage"] * Decimal("0.01")


def test_each_day_of_the_course_has_its_own_cost_and_currency(shop: Api, tenant: TenantUnderTest):
    with tenant.here.database.transaction(tenant.id) as session:
        costs.remove(session, tenant.id, date(2020, 1, 1), actor=SYSTEM)
        for days, cost, currency in ((1, "2.50", "CHF"), (0, "0.0000000001", "EUR")):
            valid_from = today() - timedelta(days=days)
            costs.put(session, tenant.id, valid_from=valid_from, cost=cost, currency=currency, actor=SYSTEM)

    found = get(shop, "liability", period="last_7_days")["course"]

    assert [(row["amount"], row["currency"]) for row in found[-3:]] == [
        (None, None),
        ("0", "CHF"),
        ("0.000000249", "EUR"),
    ]


def test_without_a_cost_there_are_points_and_no_money(api: Api):
    api.award("ann", 100)

    found = get(api, "liability")

    assert found["figures"]["points"] == 100
    for row in (found["figures"], *found["tiers"], *found["course"]):
        assert (row["amount"], row["currency"]) == (None, None)


# Ages

AGES = "liability/ages"
ZONES = ("UTC", "Pacific/Kiritimati", "America/St_Johns")


def counted(api: Api, **query: Any) -> list[Any]:
    """Every part, to the last."""
    found = [get(api, AGES, **query)]
    while cursor := found[-1]["next_cursor"]:
        found.append(get(api, AGES, **query | {"cursor": cursor}))
    return found


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting that comes no further than one participant in a request."""
    monkeypatch.setattr(ages, "AT_ONCE", 1)
    monkeypatch.setattr(age_steps, "STEP", 0)


def aged(tenant: TenantUnderTest) -> datetime:
    """Three with points of every age at the returned instant, the end of a day of UTC: ana, bo and cleo, in this order."""
    at = datetime(2026, 2, 15, tzinfo=UTC)
    old = [Event(at - timedelta(days=n), who, 100 + n) for n in (400, 200, 100, 60, 10) for who in ("ana", "bo", "cleo")]
    write(tenant.here, tenant.id, [*old, Event(at - timedelta(days=1), "bo", -600), Event(at, "cleo", 5000)])
    with tenant.here.database.transaction(tenant.id) as session:
        costs.put(session, tenant.id, valid_from=date(2026, 2, 14), cost="0.01", currency="EUR", actor=SYSTEM)
    rollups.rebuild(tenant.here.database, tenant.id)
    return at


@pytest.mark.usefixtures("slow")
def test_ages_are_counted_part_by_part_to_what_is_outstanding(api: Api, tenant: TenantUnderTest):
    at = aged(tenant)

    parts = counted(api, as_of="2026-02-14")

    assert [part["participants_done"] for part in parts] == [1, 2, 3, 3]
    assert {part["at"] for part in parts} == {at.isoformat().replace("+00:00", "Z")}
    whole = parts[-1]
    assert [(age["older_than_days"], age["up_to_days"], age["points"], age["amount"]) for age in whole["ages"]] == [
        (0, 30, 330, "3.3"),
        (30, 90, 480, "4.8"),
        (90, 180, 600, "6"),
        (180, 365, 800, "8"),
        (365, None, 1000, "10"),
    ]
    figures = get(api, "liability", as_of="2026-02-14")["figures"]
    assert whole["outstanding"] == figures["points"] == sum(age["points"] for age in whole["ages"])
    assert (whole["cost"], whole["currency"]) == ("0.01", "EUR")
    for part, following in pairwise(parts):
        assert part["outstanding"] == sum(age["points"] for age in part["ages"]) <= following["outstanding"]


@pytest.mark.usefixtures("slow")
def test_ages_of_a_day_that_is_not_over_are_of_when_counting_began(shop: Api):
    first = get(shop, AGES)
    shop.award("cat", 5000)
    parts = counted(shop, cursor=first["next_cursor"])

    assert {part["at"] for part in parts} == {first["at"]}
    assert (parts[-1]["as_of"], parts[-1]["outstanding"]) == (str(today()), 2490)
    assert abs(datetime.fromisoformat(first["at"]) - datetime.now(UTC)) < timedelta(seconds=30)
    assert counted(shop)[-1]["outstanding"] == 7490


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("zone", ZONES)
def test_a_cursor_knows_its_day_and_zone(shop: Api, zone: str):
    first = get(shop, AGES, as_of="2026-02-14", zone=zone)

    assert first["at"] == Span(date(2026, 2, 14), date(2026, 2, 14), "day", ZoneInfo(zone)).until.isoformat()[:-6] + "Z"
    for said in ({}, {"as_of": "2026-02-14"}, {"zone": zone}, {"as_of": "2026-02-14", "zone": zone}):
        following = get(shop, AGES, **said, cursor=first["next_cursor"])
        assert [following[name] for name in ("as_of", "zone", "at")] == ["2026-02-14", zone, first["at"]]
    for other in ({"as_of": "2026-02-13"}, {"zone": "Europe/Paris"}):
        assert report(shop, AGES, **other, cursor=first["next_cursor"]).fields == ["cursor"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(({"cursor": cursor}, "cursor") for cursor in ("", "x", "🦄", "a\0", "x" * 4_001)),
        ({"as_of": "tomorrow"}, "as_of"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"from": "2026-02-14"}, "from"),
        ({"unit": "day"}, "unit"),
        ({"compare": "year"}, "compare"),
    ],
    ids=str,
)
def test_what_ages_cannot_be_asked_for_is_refused_by_its_name(api: Api, query: dict[str, str], field: str):
    refused = report(api, AGES, **query)

    assert (refused.status, refused.fields) == (422, [field])


@pytest.mark.usefixtures("slow")
def test_each_line_of_a_file_of_ages_has_what_is_said_of_all(shop: Api, tenant: TenantUnderTest):
    parts, cursor = counted(shop, as_of=today()), {}
    for part in parts:
        answer = report(shop, AGES, as_of=today(), **cursor, accept="text/csv")
        lines = list(csv.DictReader(io.StringIO(answer.body.decode(), newline=""), strict=True))
        fresh = {"at", "next_cursor"}  # each time it is another
        expected = [{**{name: value for name, value in part.items() if name != "ages"}, **age} for age in part["ages"]]
        assert [{name: line[name] for name in line if name not in fresh} for line in lines] == [
            {name: as_cell(value) for name, value in line.items() if name not in fresh} for line in expected
        ]
        assert {line["next_cursor"] == "" for line in lines} == {part["next_cursor"] is None}
        cursor = {"cursor": lines[0]["next_cursor"]}
    name = f"liability-ages-{tenant.slug}-live-{today()}-to-{today()}.csv"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert (answer.headers["Vary"], answer.headers["Content-Type"]) == ("Accept", "text/csv; charset=utf-8")
    assert report(shop, AGES, accept="text/html").status == 406


def test_ages_need_the_scope_and_are_of_the_key_s_own_side(shop: Api, tenant: TenantUnderTest):
    assert report(shop.with_key(tenant.issue("reports:read")), AGES).status == 200
    refused = report(shop.with_key(tenant.issue("points:read", "participants:read")), AGES)
    assert (refused.status, refused.code) == (403, "missing_scope")
    empty = get(shop.with_key(tenant.test_key), AGES)
    assert (empty["outstanding"], empty["participants_done"], empty["next_cursor"], empty["cost"]) == (0, 0, None, None)


# Tiers


def test_who_was_on_a_tier_and_who_moved_make_who_is_on_it(shop: Api):
    found = get(shop, "tiers", period="last_7_days")

    assert found["before"] == [{**row, "participants": 0, "points": 0} for row in found["distribution"][-1]["tiers"]]
    assert [(row["tier"]["code"], row["participants"], row["points"]) for row in found["distribution"][-1]["tiers"]] == [
        ("bronze", 1, 0),
        ("silver", 1, 590),
        ("gold", 1, 1900),
    ]
    flows = [((row["from"] or {}).get("code"), row["to"]["code"], row["is_new"], row["participants"]) for row in found["flows"]]
    assert flows == [(None, "bronze", True, 3), ("bronze", "silver", False, 1), ("bronze", "gold", False, 1)]
    assert [row["points"] for row in found["flows"]] == [0, 600, 1900]
    assert len(found["distribution"]) == 7


def test_the_time_to_the_next_tier_is_told_in_days(shop: Api, owner: psycopg.Connection, tenant: TenantUnderTest):
    rollups.advance(tenant.here.database, tenant.id)
    ahead = "UPDATE rollup_progress SET planned_until = planned_until + interval '10 days' WHERE tenant_id = %s"
    assert owner.execute(ahead, [tenant.id]).rowcount == 1
    shop.award("ann", 1000)

    found = get(shop, "tiers", from_=today(), to=today() + timedelta(days=11))["rises"]

    assert found["is_sample"] is False
    [rise] = [row for row in found["between"] if row["from"]["code"] == "silver"]
    assert (rise["to"], rise["number"]) == ({"code": "gold", "name": "Gold Tier"}, 1)
    assert rise["lower_quartile"] == rise["median"] == rise["upper_quartile"] == pytest.approx(10, abs=0.1)


def test_who_is_on_no_tier_is_not_new(api: Api, tenant: TenantUnderTest):
    tenant.put_tiers(gold=1000)
    api.award("ann", 10)
    api.award("ann", 1000)

    found = get(api, "tiers", period="today")

    nobody = {"code": None, "name": None}
    assert [(row["from"], row["to"]["code"], row["is_new"]) for row in found["flows"]] == [
        (None, None, True),
        (nobody, "gold", False),
    ]
    assert get(api, by="tier")["rows"][0]["tier"] == nobody


# Activity


def test_activity_tells_who_was_active_and_what_they_did(shop: Api):
    found = get(shop, "activity", period="last_7_days")

    assert [row["participants"] for row in found["active"]] == [0] * 6 + [3]
    assert found["active"][-1]["from"] == found["active"][-1]["to"] == str(today())
    month = str(today().replace(day=1))
    assert found["cohorts"][-1] == {"month": month, "size": 3, "active": [{"active_in": month, "participants": 3}]}
    assert sum(bar["number"] for bar in found["award_sizes"]) == 4
    assert sum(bar["points"] for bar in found["award_sizes"]) == 2555
    assert found["award_sizes"][0] == {"least": 5, "above": 10, "number": 1, "points": 5}
    assert [(bar["number"], bar["points"]) for bar in found["balances"] if bar["number"]] == [(1, 0), (1, 590), (1, 1900)]
    assert {row["name"]: row["award_count"] for row in found["reasons"]} == {None: 2, "Purchase": 1, FORMULA: 1, "Reward": 0}
    assert [(row["name"], row["award_count"], row["awarded"]) for row in found["keys"]] == [("live", 4, 2555)]


def test_weeks_and_months_count_from_their_own_beginning(shop: Api):
    for unit, begin in (("week", today() - timedelta(days=today().weekday())), ("month", today().replace(day=1))):
        found = get(shop, "activity", period="today", unit=unit)["active"]
        assert found == [{"from": str(begin), "to": str(today()), "participants": 3}]


# JSON or CSV


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("text/csv", "text/csv"),
        ("text/*", "text/csv"),
        ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/csv, application/json", "application/json"),
        ("text/csv, application/json;q=0.9", "text/csv"),
        ("text/html, text/csv;q=0.2, */*;q=0.1", "text/csv"),
        ("application/json;q=0, */*", "text/csv"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
    ],
)
def test_the_form_is_what_is_accepted(api: Api, accept: str | None, form: str):
    for name in REPORTS:
        answer = report(api, name, accept=accept)
        assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (200, form)
        assert answer.headers["Vary"] == "Accept"


@pytest.mark.parametrize("accept", ["text/html", "application/xml, image/*", "*/*;q=0", "nonsense", "application/problem+json"])
def test_a_form_that_there_is_not_is_refused(api: Api, accept: str):
    for name in REPORTS:
        refused = report(api, name, accept=accept)
        assert (refused.status, refused.code) == (406, "not_acceptable")
        assert refused.headers["Content-Type"] == "application/problem+json"


def as_lines(table: str, row: Any) -> list[dict[str, str]]:
    """What a row of the JSON must be in the file, by the names of columns."""
    line, below = {"table": table}, None
    for member, value in row.items():
        if isinstance(value, list):
            below = [line for each in value for line in as_lines(table, each)]
        elif isinstance(value, dict):
            line |= {f"{member}_{inner}": as_cell(each) for inner, each in value.items()}
        else:
            line[member] = as_cell(value)
    return [line] if below is None else [{**line, **each} for each in below]


def as_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith("=") else value
    return str(value).lower() if isinstance(value, bool) else repr(value)


@pytest.mark.parametrize("compare", [{}, {"compare": "previous"}])
@pytest.mark.parametrize(
    ("name", "query"),
    [
        *(("roll-forward", {"by": by}) for by in ("tenant", "tier", "key", "reason", "metadata.channel")),
        *((name, {}) for name in REPORTS[1:]),
    ],
)
def test_the_file_has_every_figure_that_the_json_has(shop: Api, name: str, query: dict[str, str], compare: dict[str, str]):
    found = get(shop, name, **query, **compare, period="last_7_days")
    answer = report(shop, name, **query, **compare, period="last_7_days", accept="text/csv")
    read = list(csv.DictReader(io.StringIO(answer.body.decode(), newline=""), strict=True))

    expected = [
        {**line, "compared": as_cell(part is not found)}
        for part in (found, found["compared"] or {})
        for table, value in part.items()
        if table != "compared" and isinstance(value, (list, dict))
        for row in (value if isinstance(value, list) else [value])
        for line in as_lines(table, row)
    ]
    assert len(read) == len(expected) > 0
    for line, wanted in zip(read, expected, strict=True):
        assert {column: cell for column, cell in line.items() if cell or column in wanted} == wanted


def test_the_columns_of_a_report_are_always_the_same(shop: Api, tenant: TenantUnderTest):
    empty = shop.with_key(tenant.test_key)
    for name in REPORTS:
        headers = {
            report(api, name, **query, accept="text/csv").body.partition(b"\r\n")[0]
            for api in (shop, empty)
            for query in ({}, {"compare": "year"}, *([{"by": "tier"}, {"by": "reason"}] if name == "roll-forward" else []))
        }
        assert len(headers) == 1, name
    header = report(empty, "liability", accept="text/csv").body.decode().partition("\r\n")[0].split(",")
    assert header[:4] == ["table", "compared", "as_of", "points"]
    assert len(header) == len(set(header))


def test_a_file_of_a_small_report_line_by_line(api: Api):
    api.award("ann", 700, reason=FORMULA)
    api.deduct("ann", 100, reason="-5")
    text = report(api, by="reason", period="today", accept="text/csv").body.decode()

    assert [line.split(",")[:2] + [cell for cell in line.split(",")[2:] if cell] for line in text.split("\r\n")[1:]] == [
        ["rows", "false", f"'{FORMULA}", "false", "700", "0", "0", "0", "1", "1"],
        ["rows", "false", "'-5", "false", "0", "0", "100", "0", "0", "1"],
        ["totals", "false", "700", "0", "100", "0", "1", "2"],
        [""],
    ]


@pytest.mark.parametrize("name", REPORTS)
def test_a_file_is_named_after_report_tenant_and_days(shop: Api, tenant: TenantUnderTest, name: str):
    for key, mode in ((tenant.key, "live"), (tenant.test_key, "test")):
        answer = report(shop.with_key(key), name, from_="2026-02-01", to="2026-02-28", accept="text/csv")
        expected = f'attachment; filename="{name}-{tenant.slug}-{mode}-2026-02-01-to-2026-02-28.csv"'
        assert answer.headers["Content-Disposition"] == expected


# Who may, whose, and when


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_needs_its_scope(shop: Api, tenant: TenantUnderTest, name: str):
    assert report(shop.with_key(tenant.issue("reports:read")), name).status == 200
    refused = report(shop.with_key(tenant.issue("points:read", "participants:read", "tiers:read")), name, accept="text/html")
    assert (refused.status, refused.code) == (403, "missing_scope")
    assert report(shop.with_key(None), name).status == 401


def test_a_key_of_the_sandbox_sees_the_sandbox(shop: Api, tenant: TenantUnderTest):
    sandbox = shop.with_key(tenant.test_key)
    assert get(sandbox)["totals"]["entry_count"] == 0
    sandbox.award("ann", 7)

    assert get(sandbox)["totals"]["closing"] == get(sandbox, "liability")["figures"]["points"] == 7
    assert get(sandbox, "activity")["balances"] == [{"least": 5, "above": 10, "number": 1, "points": 7}]
    assert [row["participants"] for row in get(sandbox, "tiers")["distribution"][-1]["tiers"]] == [1, 0, 0]
    assert get(sandbox, "liability")["figures"]["cost"] is None
    assert report(sandbox, by="metadata.channel").fields == ["by"]
    assert get(shop)["totals"]["closing"] == 2490


@pytest.mark.parametrize("name", REPORTS)
def test_a_tenant_without_entries_has_zeros(api: Api, name: str):
    for query in ({}, {"period": "all"}, {"compare": "year"}):
        assert report(api, name, **query).status == 200
    assert get(api)["totals"]["closing"] == 0
    assert get(api, by="key")["rows"] == []


@pytest.mark.parametrize("name", REPORTS)
def test_while_reports_are_prepared_it_is_said_so(shop: Api, tenant: TenantUnderTest, owner: psycopg.Connection, name: str):
    rollups.advance(tenant.here.database, tenant.id)
    job = tenant.here.rollups
    job._touched.discard(tenant.id)
    assert owner.execute("UPDATE rollup_progress SET made_by = 1 WHERE tenant_id = %s", [tenant.id]).rowcount == 1

    waiting = report(shop, name, accept="text/csv")

    assert (waiting.status, waiting.code) == (503, "being_prepared")
    assert waiting.json["detail"] == "Reports are being prepared from the ledger; try again in a moment."
    assert int(waiting.headers["Retry-After"]) > 0
    deadline = time.monotonic() + 10
    while report(shop, name).status == 503 and time.monotonic() < deadline:
        job.look()  # for it was touched
    assert report(shop, name).status == 200


def test_all_of_an_answer_is_of_one_moment(shop: Api, app: Flask, tenant: TenantUnderTest):
    """Points are awarded all the while, and every figure of an answer agrees with every other."""
    is_over, client = threading.Event(), Api(app.test_client(), tenant.key)

    def go_on() -> None:
        while not is_over.is_set():
            client.award("cat", 1, reason="tick")

    awarding = threading.Thread(target=go_on)
    awarding.start()
    try:
        seen = set()
        for _ in range(12):
            owed = get(shop, "liability")
            points = owed["figures"]["points"]
            assert points == owed["course"][-1]["points"] == sum(row["points"] for row in owed["tiers"])
            done = get(shop, "activity")
            assert sum(row["entry_count"] for row in done["reasons"]) == sum(row["entry_count"] for row in done["keys"])
            assert sum(bar["number"] for bar in done["award_sizes"]) == sum(row["award_count"] for row in done["keys"])
            seen.add(points)
    finally:
        is_over.set()
        awarding.join()
    assert len(seen) > 1


def test_what_is_summed_already_changes_no_figure(shop: Api, tenant: TenantUnderTest):
    shop.award("eve", 5000, reason="Purchase")
    shop.deduct("cat", 1900)
    queries = [(name, {"compare": "previous"}) for name in REPORTS] + [("roll-forward", {"by": by}) for by in ("tier", "reason")]
    before = [get(shop, name, **query) for name, query in queries]
    assert rollups.catch_up(tenant.here.database, tenant.id, seconds=10)

    assert [get(shop, name, **query) for name, query in queries] == before
