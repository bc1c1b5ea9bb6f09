"""Sessions: how long they live, whose they are, and what ends them."""

from datetime import timedelta
from uuid import uuid4

import pytest
from gamify.errors import NotFound
from gamify.services import sessions, tenants, users
from gamify.services.audit import SYSTEM
from gamify.services.person_log import Place
from sqlalchemy import text

from tests.people import actions, new_user, now

NOW = now()
SECOND = timedelta(seconds=1)


@pytest.fixture
def user(here, tenant):
    return new_user(here, tenant.slug)


@pytest.fixture
def begin(here, user):
    """Begins a session."""

    def make(who=user, *, is_complete=True, at=NOW, **place):
        with here.database.transaction() as session:
            return sessions.begin(session, who, place=Place(**place), is_complete=is_complete, now=at)

    return make


def find(here, session_id, *, at=NOW):
    with here.database.transaction() as session:
        return sessions.find(session, session_id, now=at)


def test_a_session_leads_to_its_user_and_tenant(here, tenant, user, begin):
    found = find(here, begin().id)

    assert (found.user.id, found.tenant.slug) == (user.id, tenant.slug)


def test_an_operator_has_no_tenant(here, begin):
    operator = new_user(here)

    assert find(here, begin(operator).id).tenant is None


def test_an_unknown_id_is_nobodys(here):
    assert find(here, uuid4()) is None


def test_a_session_that_is_not_used_ends_after_eight_hours(here, begin):
    row = begin()

    assert find(here, row.id, at=NOW + timedelta(hours=8)) is None
    assert find(here, row.id, at=NOW + timedelta(hours=8) - SECOND)


def test_a_session_in_use_ends_after_fourteen_days(here, begin):
    row, at = begin(), NOW
    while at < NOW + timedelta(days=14) - timedelta(hours=7):
        at += timedelta(hours=7)
        assert find(here, row.id, at=at)

    assert find(here, row.id, at=NOW + timedelta(days=14)) is None


def test_an_unfinished_session_ends_soon(here, begin):
    row = begin(is_complete=False)

    assert find(here, row.id, at=NOW + timedelta(minutes=14))
    assert find(here, row.id, at=NOW + timedelta(minutes=15)) is None


def test_use_is_written_at_most_once_a_minute(here, owner, begin):
    row = begin()
    seen = []
    for seconds in (0, 30, 59, 60, 90, 119, 120):
        find(here, row.id, at=NOW + timedelta(seconds=seconds))
        seen.append(owner.execute("SELECT seen_at FROM sessions WHERE id = %s", [row.id]).fetchone()[0] - NOW)

    assert [each.total_seconds() for each in seen] == [0, 0, 0, 60, 60, 60, 120]


def test_freshness_lasts_ten_minutes(here, begin):
    found = find(here, begin().id)

    assert found.is_fresh(NOW + timedelta(minutes=10) - SECOND)
    assert not found.is_fresh(NOW + timedelta(minutes=10))


@pytest.mark.parametrize("step", [sessions.complete, sessions.renew])
def test_a_step_up_changes_the_id_and_the_old_one_is_worth_nothing(here, begin, step):
    row = begin(is_complete=step is sessions.renew)
    with here.database.transaction() as session:
        new_id = step(session, row.id, now=NOW + SECOND)

    assert new_id != row.id
    assert find(here, row.id) is None
    assert find(here, new_id).session.is_complete
    assert find(here, new_id).session.fresh_at == NOW + SECOND


@pytest.mark.parametrize("step", [sessions.complete, sessions.renew])
def test_a_session_that_ended_cannot_step_up(here, begin, step):
    row = begin()
    with here.database.transaction() as session:
        sessions.end(session, row.id, now=NOW)

    with pytest.raises(NotFound), here.database.transaction() as session:
        step(session, row.id, now=NOW)
    assert find(here, row.id) is None


def test_living_sessions_are_listed_the_last_used_first(here, user, begin):
    old, new = begin(at=NOW - timedelta(hours=1), address="192.0.2.1"), begin(user_agent="Firefox")
    begin(at=NOW - timedelta(hours=9))
    begin(is_complete=False)
    begin(new_user(here))
    ended = begin()

    with here.database.transaction() as session:
        sessions.end(session, ended.id, now=NOW)
        listed = sessions.of_user(session, user.id, now=NOW)

    assert [row.id for row in listed] == [new.id, old.id]
    assert (listed[0].user_agent, listed[1].address) == ("Firefox", "192.0.2.1")


def test_a_revoked_session_ends_at_once_and_is_logged(here, tenant, user, begin):
    kept, revoked = begin(), begin()
    with here.database.transaction() as session:
        sessions.revoke(session, user, revoked.id, actor=SYSTEM, now=NOW)

    assert find(here, revoked.id) is None
    assert find(here, kept.id)
    assert actions(here, tenant.id, user.email)[-1] == "session.revoke"


def test_nobody_revokes_the_session_of_another(here, tenant, begin):
    row, other = begin(), new_user(here, tenant.slug)

    with pytest.raises(NotFound), here.database.transaction() as session:
        sessions.revoke(session, other, row.id, actor=SYSTEM, now=NOW)
    assert find(here, row.id)


def test_all_sessions_but_one_can_be_ended(here, user, begin):
    rows = [begin() for _ in range(3)]
    with here.database.transaction() as session:
        assert sessions.revoke_others(session, user, keep=rows[1].id, actor=SYSTEM, now=NOW) == 2

    assert [find(here, row.id) is not None for row in rows] == [False, True, False]


@pytest.mark.parametrize("status", ["suspended", "deleting"])
def test_sessions_stop_with_their_tenant(here, owner, tenant, begin, status):
    row = begin()
    owner.execute("UPDATE tenants SET status = %s WHERE slug = %s", [status, tenant.slug])
    assert find(here, row.id) is None

    owner.execute("UPDATE tenants SET status = 'active' WHERE slug = %s", [tenant.slug])
    assert find(here, row.id)


def test_sessions_stop_when_somebody_is_removed(here, tenant, user, begin):
    new_user(here, tenant.slug)
    row = begin()
    with here.database.transaction() as session:
        users.remove(session, users.get(session, tenant.id, user.id), actor=SYSTEM, now=NOW)

    assert find(here, row.id) is None


def test_another_role_or_password_ends_the_sessions_but_the_one_in_use(here, tenant, user, begin):
    new_user(here, tenant.slug)
    for change in (
        lambda session, who, keep: users.change_role(session, who, "analyst", actor=SYSTEM, now=NOW, keep=keep),
        lambda session, who, keep: users.change_password(session, who, "another long one", actor=SYSTEM, now=NOW, keep=keep),
    ):
        used, other = begin(), begin()
        with here.database.transaction() as session:
            change(session, users.get(session, tenant.id, user.id), used.id)
        assert find(here, used.id)
        assert find(here, other.id) is None


def test_the_browsers_name_is_cut_and_holds_nothing_the_database_cannot(here, begin):
    assert begin(user_agent="a\0b" + "x" * 1_000).user_agent == "ab" + "x" * 298


def test_a_tenant_without_demands_asks_nobody_to_enrol(here, tenant, begin):
    row = begin()
    assert not find(here, row.id).must_enrol

    with here.database.transaction() as session:
        tenants.get(session, tenant.slug).requires_totp = True
    assert find(here, row.id).must_enrol


def test_no_session_can_be_brought_back(here, begin):
    row = begin()
    with here.database.transaction() as session:
        sessions.end(session, row.id, now=NOW)
        sessions.end(session, row.id, now=NOW + SECOND)
        assert session.scalar(text("SELECT ended_at FROM sessions WHERE id = :id"), {"id": row.id}) == NOW
