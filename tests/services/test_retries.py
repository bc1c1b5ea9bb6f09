"""Losing to another transaction is no answer: a few attempts, then a refusal that says to try again."""

import psycopg
import pytest
from gamify.db import ATTEMPTS, Database, retrying
from gamify.errors import Unavailable
from gamify.services import ledger
from gamify.services.ledger import AWARD, Movement


@pytest.mark.parametrize("fault", [psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure])
def test_a_lost_race_is_tried_again_three_times_at_most(fault):
    attempts = []

    def lose() -> None:
        attempts.append(1)
        raise fault

    with pytest.raises(fault):
        retrying(lose)
    assert len(attempts) == ATTEMPTS == 4


def test_a_race_lost_once_is_an_answer_all_the_same():
    outcomes = iter([psycopg.errors.DeadlockDetected(), "done"])

    def attempt() -> str:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert retrying(attempt) == "done"


def test_a_pool_that_is_used_up_is_a_503(settings, tenant):
    database = Database(lambda: settings.database_url, owner_url=lambda: settings.database_url, pool_size=1)
    try:
        with database.connection(), pytest.raises(Unavailable) as refused:
            ledger.post(database, tenant.id, [Movement(AWARD, "ann", 1)])
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        assert ledger.post(database, tenant.id, [Movement(AWARD, "ann", 1)])[0].new_balance == 1
    finally:
        database.close()
