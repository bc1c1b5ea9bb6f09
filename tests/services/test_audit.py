"""The audit logs: each change writes one row that says when, who, from where, what, before and after."""

import inspect
import json
import pkgutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import ModuleType
from typing import Any
from uuid import UUID

import gamify.services
import pytest
from gamify.db import act_as
from gamify.errors import Invalid
from gamify.services import audit, spreadsheet, tenants
from gamify.services.audit import Filter
from gamify.services.period import period
from sqlalchemy.orm import Session

from tests.harness import PEPPER, TenantUnderTest
from tests.services.audit_recipes import (
    ANA,
    OTHER_PASSWORD,
    PASSWORD,
    PLATFORM,
    RECIPES,
    SANDBOX,
    TENANT,
    issue_key,
    limit_tenant,
    replace_tiers,
    suspend_tenant,
)

WRITERS = {"audit.record"}  # it is the rows
SECRET_VALUES = {"user.change_password"}  # of which there is nothing to tell


def services() -> Iterator[ModuleType]:
    for module in pkgutil.iter_modules(gamify.services.__path__):
        yield import_module(f"gamify.services.{module.name}")


def mutating() -> set[str]:
    """Every service function that takes an actor, so changes something."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in services()
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
        if "actor" in inspect.signature(function).parameters
    } - WRITERS


def rows_of(session: Session, t: TenantUnderTest) -> list[tuple[str, audit.Entry]]:
    """What ANA has done, by log."""
    wanted = Filter(actor=ANA.name)
    found = []
    for log, tenant_id in ((TENANT, t.id), (SANDBOX, t.sandbox_id)):
        act_as(session, tenant_id)
        found += [(log, entry) for entry in audit.every(session, tenant_id, wanted)]
    return found + [(PLATFORM, entry) for entry in audit.every(session, None, wanted)]


def test_every_service_that_changes_something_is_known_here():
    assert mutating() == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_change_writes_one_row_in_each_log_that_it_concerns(here, tenant, name):
    with here.database.transaction() as session:
        earlier = {entry.id for _, entry in rows_of(session, tenant)}
        expected = RECIPES[name](session, tenant)
        found = [(log, entry) for log, entry in rows_of(session, tenant) if entry.id not in earlier]

    assert Counter((log, entry.action) for log, entry in found) == expected
    for _, entry in found:
        assert (entry.actor_kind, entry.actor, entry.actor_id) == ("user", "ana@shop.example", 7)
        assert (entry.address, entry.request_id) == ("203.0.113.9", "req-1")
        assert abs(entry.at - datetime.now(UTC)) < timedelta(minutes=1)
        assert entry.subject
        assert entry.before or entry.after or entry.action in SECRET_VALUES
        said = json.dumps([entry.before, entry.after, entry.subject])
        for secret in (tenant.key, tenant.key[16:], PASSWORD, OTHER_PASSWORD, "argon2", PEPPER):
            assert secret not in said


def test_a_change_that_is_not_made_is_not_written_down(here, tenant):
    def try_it() -> None:
        with here.database.transaction() as session:
            limit_tenant(session, tenant)
            tenants.set_rate_limit(session, tenants.get(session, tenant.slug), rate_limit=-1, actor=ANA)

    with pytest.raises(Invalid):
        try_it()

    assert rows(here, tenant.id, actor=ANA.name) == []


def test_before_and_after_tell_what_has_changed(here, tenant):
    with here.database.transaction() as session:
        limit_tenant(session, tenant)
        suspend_tenant(session, tenant)
        replace_tiers(session, tenant)
    told = {entry.action: (entry.before, entry.after) for entry in rows(here, tenant.id, actor=ANA.name)}

    assert told["tenant.set_rate_limit"] == ({"rate_limit": 5000}, {"rate_limit": 7})
    assert told["tenant.set_status"] == ({"status": "active"}, {"status": "suspended"})
    assert told["tiers.replace"] == ({"bronze": 0, "silver": 500, "gold": 1500}, {"only": 5})


def rows(here: Any, tenant_id: int | None, *, before: UUID | None = None, limit: int = 100, **wanted: Any) -> list[audit.Entry]:
    with here.database.transaction(tenant_id) as session:
        return list(audit.search(session, tenant_id, Filter(**wanted), before=before, limit=limit))


@pytest.fixture
def busy(here, tenant) -> TenantUnderTest:
    """A tenant whose log holds five rows of ANA's and three of the system's."""
    with here.database.transaction() as session:
        for _ in range(4):
            limit_tenant(session, tenant)
        issue_key(session, tenant)
    return tenant


def test_entries_come_newest_first_and_page_by_page(here, busy):
    everything = rows(here, busy.id)
    pages, before = [], None
    while page := rows(here, busy.id, before=before, limit=3):
        pages += page
        before = page[-1].id

    assert [entry.id for entry in pages] == [entry.id for entry in everything]
    assert [entry.at for entry in everything] == sorted((entry.at for entry in everything), reverse=True)
    assert len(everything) == len(rows(here, busy.id, actor="gamify")) + 5


def test_entries_are_filtered_by_actor_kind_and_time(here, busy):
    mine = rows(here, busy.id, actor=ANA.name)
    middle = mine[2].at

    assert len(mine) == 5
    assert rows(here, busy.id, actor="ana") == []
    assert [entry.action for entry in rows(here, busy.id, action="tenant.set_rate_limit")] == ["tenant.set_rate_limit"] * 4
    assert {entry.action for entry in rows(here, busy.id, action="api_key")} == {"api_key.issue"}
    assert rows(here, busy.id, action="api") == rows(here, busy.id, action="api_ke_") == []
    assert len(rows(here, busy.id, actor=ANA.name, since=middle)) == 3
    assert len(rows(here, busy.id, actor=ANA.name, until=middle)) == 2


def test_a_tenants_log_is_its_own(here, busy):
    with here.database.transaction(busy.sandbox_id) as session:
        assert audit.search(session, busy.id, Filter(), limit=10) == []
    assert {entry.action for entry in rows(here, busy.sandbox_id)} == {"tiers.replace"}


@pytest.mark.parametrize(
    ("since", "until", "begin", "end"),
    [
        (None, " ", None, None),
        ("2026-02-14", "2026-02-14", (14, 0), (15, 0)),
        ("2026-02-14T10:00:00Z", "2026-02-14T10:00:00+02:00", (14, 10), (14, 8)),
        ("2026-02-14T10:00", None, (14, 10), None),
    ],
)
def test_a_period_is_of_days_or_instants(since, until, begin, end):
    instant = lambda at: at and datetime(2026, 2, *at, tzinfo=UTC)  # noqa: E731  # short enough to read

    assert period(since, until) == (instant(begin), instant(end))


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "14.2.2026", "2026-02-14T25:00", "0001-01-01T00:00+05:00", "\0"])
def test_what_is_no_time_is_named(text):
    with pytest.raises(Invalid) as refused:
        period(text, text)

    assert refused.value.errors[0].field == "from"
    with pytest.raises(Invalid, match=r"^to: "):
        period(None, text)


@pytest.mark.parametrize("until", ["9999-12-31"])
def test_the_end_of_time_has_no_day_after(until):
    with pytest.raises(Invalid):
        period(None, until)


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_cell_that_could_be_a_formula_is_none(begin):
    [_, line] = spreadsheet.lines(["a", "b"], [[f"{begin}1+1", -5]])

    assert line.strip('"').startswith(f"'{begin}1+1")
    assert line.endswith(",-5\r\n")


def test_commas_quotes_and_line_feeds_stay_in_their_cell():
    assert list(spreadsheet.lines(["a", "b"], [['x,"y"\nz', None]])) == ["a,b\r\n", '"x,""y""\nz",\r\n']
