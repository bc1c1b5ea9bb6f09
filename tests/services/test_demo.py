"""The demo's ledger: as large as asked for, exact, and the same again for the same seed."""

from datetime import UTC, datetime, timedelta

import pytest
from gamify.db import act_as
from gamify.errors import Invalid
from gamify.services import demo, tenants, verification
from sqlalchemy import text

from tests.harness import PEPPER

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
EVERYTHING = """
    SELECT p.external_id, e.seq, e.id, e.type, e.points, e.balance_after, e.tier_after, e.reason, e.metadata::text,
           e.idempotency_key, e.request_id, e.created_at, e.reverses, k.name
    FROM ledger_entries AS e JOIN participants AS p ON p.id = e.participant_id LEFT JOIN api_keys AS k ON k.id = e.api_key_id
    WHERE e.tenant_id = :tenant_id ORDER BY e.id
"""


@pytest.fixture
def filled(here):
    """What a demo of some size would leave: the tenant's entries, after `verify` has found nothing wrong with them."""

    def fill(participants: int, entries: int):
        found = []
        with here.database.transaction() as session:
            demo.fill(session, pepper=PEPPER, now=NOW, participants=participants, entries=entries, progress=found.append)
            tenant = tenants.get(session, demo.SLUG)
            act_as(session, tenant.id)
            rows = session.execute(text(EVERYTHING), {"tenant_id": tenant.id}).all()
            wrong = verification.verify(session, tenant).differences
            session.rollback()
        assert sum(found) == entries
        assert wrong == []
        return rows

    return fill


def test_there_are_as_many_participants_and_entries_as_asked_for(filled):
    rows = filled(300, 3_000)

    assert len(rows) == 3_000
    assert len({row.external_id for row in rows}) == 300


def test_the_same_seed_and_time_give_the_same_ledger(filled):
    assert filled(100, 1_500) == filled(100, 1_500)


def test_it_reaches_from_a_year_ago_to_minutes_ago(filled):
    rows = filled(2_000, 24_000)

    assert NOW - timedelta(days=366) < rows[0].created_at < NOW - timedelta(days=340)
    assert NOW - timedelta(minutes=30) < rows[-1].created_at < NOW


def test_every_kind_of_movement_is_there_by_keys_and_by_people(filled):
    rows = filled(2_000, 24_000)

    assert {row.type for row in rows} == {"award", "deduct", "award_reversal", "deduct_reversal"}
    assert {row.name for row in rows} == {"Point of sale", "Web shop", "Mobile app", None}
    assert {row.tier_after for row in rows} == {1, 2, 3, 4}
    assert any(row.idempotency_key for row in rows)


@pytest.mark.parametrize(("participants", "entries"), [(10, 9), (10, 10_001), (0, 0)])
def test_sizes_that_cannot_be_are_refused(here, participants, entries):
    with pytest.raises(Invalid, match="1 to 1000 times"), here.database.transaction() as session:
        demo.fill(session, pepper=PEPPER, now=NOW, participants=participants, entries=entries)
