"""The job that blanks what was written about participants who are erased."""

import pytest
from gamify.jobs.registry import JOBS
from gamify.jobs.turn import LetGo, perform
from gamify.services import erasures
from gamify.services.audit import SYSTEM

LEFT = "SELECT count(*) FROM ledger_entries WHERE tenant_id = %s AND reason IS NOT NULL"
QUEUED = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'blank_erased' AND (args ->> 'tenant_id')::bigint = %s"


def test_it_goes_on_from_where_it_was_stopped(tenant, api, owner, monkeypatch):
    monkeypatch.setattr(erasures, "AT_ONCE", 10)
    for _ in range(3):
        api.batch([{"participant_id": "ann", "amount": 1, "reason": "for Ann"} for _ in range(10)])
    api.award("bob", 1, reason="for Bob")
    with tenant.here.database.transaction(tenant.id) as session:
        erasures.erase(session, tenant.id, "ann", actor=SYSTEM)
    assert owner.execute(QUEUED, [tenant.id]).fetchone() == (1,)

    with pytest.raises(LetGo):
        perform(JOBS["blank_erased"], tenant.here, {"tenant_id": tenant.id}, is_stopping=lambda: True)
    assert owner.execute(LEFT, [tenant.id]).fetchone() == (21,)
    perform(JOBS["blank_erased"], tenant.here, {"tenant_id": tenant.id}, is_stopping=lambda: False)
    assert owner.execute(LEFT, [tenant.id]).fetchone() == (1,)


def test_what_a_job_has_left_behind_is_done_by_the_hour(tenant, api, owner):
    api.award("ann", 1, reason="for Ann")
    with tenant.here.database.transaction(tenant.id) as session:
        erasures.erase(session, tenant.id, "ann", actor=SYSTEM)
    owner.execute("DELETE FROM procrastinate_jobs WHERE task_name = 'blank_erased'")

    perform(JOBS["blank_leftovers"], tenant.here, {}, is_stopping=lambda: False)

    assert owner.execute(LEFT, [tenant.id]).fetchone() == (0,)


def test_an_erasure_that_is_taken_back_queues_nothing(tenant, api, owner):
    api.award("ann", 1)
    with tenant.here.database.transaction(tenant.id) as session:
        erasures.erase(session, tenant.id, "ann", actor=SYSTEM)
        session.rollback()

    assert owner.execute(QUEUED, [tenant.id]).fetchone() == (0,)
    assert api.balance("ann") == 1
