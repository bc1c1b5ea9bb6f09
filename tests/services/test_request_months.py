"""Requests by month: counted by every process, added up, and no request waits for it."""

import threading
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from gamify.app import create_app
from gamify.services.request_months import RequestMonths

from tests.harness import Api, free_port

NOW = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)
LATER = datetime(2026, 4, 1, tzinfo=UTC)


class Counts:
    """The requests of one tenant, as a process counts them."""

    def __init__(self, tenant, owner, database=None) -> None:
        self.tenant, self.owner = tenant, owner
        self.months = RequestMonths(database or tenant.here.database, add_every=3600)

    def count(self, times: int = 1, *, now: datetime = NOW) -> None:
        for _ in range(times):
            self.months.count(self.tenant.id, now=now)

    def stored(self) -> dict[date, int]:
        query = "SELECT month, request_count FROM request_months WHERE tenant_id = %s"
        return dict(self.owner.execute(query, [self.tenant.id]).fetchall())


@pytest.fixture
def counts(tenant, owner):
    made = Counts(tenant, owner)
    yield made
    made.months.close()


def test_requests_are_added_to_their_month_of_utc(counts):
    counts.count(3)
    counts.count(2, now=LATER)
    assert counts.stored() == {}

    counts.months.add()

    assert counts.stored() == {date(2026, 3, 1): 3, date(2026, 4, 1): 2}


def test_what_was_added_is_not_added_again(counts):
    counts.count()
    for _ in range(3):
        counts.months.add()
    counts.count()
    counts.months.add()

    assert counts.stored() == {date(2026, 3, 1): 2}


def test_several_processes_and_threads_add_up(counts, tenant, owner):
    other = Counts(tenant, owner)
    threads = [threading.Thread(target=each.count, args=(500,)) for each in (counts, other) for _ in range(4)]
    for thread in threads:
        thread.start()
    counts.months.add()  # in the middle of it
    for thread in threads:
        thread.join()
    counts.months.add()
    other.months.close()

    assert counts.stored() == {date(2026, 3, 1): 4000}


def test_counts_wait_for_a_database_that_is_away(settings, tenant, owner):
    away = create_app(replace(settings, database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/gamify")).extensions["gamify"]
    counts = Counts(tenant, owner, away.database)
    counts.count(2)
    counts.months.add()
    counts.count(1)
    counts.months._database = tenant.here.database
    counts.months.add()

    assert counts.stored() == {date(2026, 3, 1): 3}
    counts.months.close()
    away.close()


def test_a_tenant_that_is_gone_holds_up_nobody(counts):
    counts.months.count(0, now=NOW)  # nobody has this number; it comes first
    counts.count()
    counts.months.add()

    assert counts.stored() == {date(2026, 3, 1): 1}
    assert not counts.months._counts


def test_every_answer_under_a_valid_key_counts_and_arrives_at_the_end(settings, tenant, owner):
    app = create_app(settings)
    api = Api(app.test_client(), tenant.key)
    months = {datetime.now(UTC).date().replace(day=1)}
    assert [api.award("p", 1).status, api.points("q").status, api.award("p", 0).status] == [200, 404, 422]
    assert api.with_key("gk_live_unknown").points("p").status == 401
    app.extensions["gamify"].close()
    months.add(datetime.now(UTC).date().replace(day=1))

    stored = Counts(tenant, owner).stored()
    assert sum(stored.values()) == 3
    assert set(stored) <= months
