"""Invitations and resets: links that work once, for a while."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from gamify.errors import Conflict, Invalid, LinkSpent, NotFound
from gamify.models import Tenant
from gamify.services import links, sessions, users
from gamify.services.audit import SYSTEM
from gamify.services.person_log import Place
from sqlalchemy import select

from tests.harness import new_tenant
from tests.people import PASSWORD, actions, emails, new_user, now

NOW = now()
SECOND = timedelta(seconds=1)
PLACE = Place("192.0.2.1", "Firefox", "req-1")
NEW = "another long password"


@pytest.fixture
def invite(here, tenant):
    """Invites somebody and returns the token."""

    def make(email=None, *, role="analyst", slug=tenant.slug, is_operator=False):
        with here.database.transaction() as session:
            query = select(Tenant).where(Tenant.slug == slug, Tenant.sandbox_of.is_(None))
            found = None if is_operator else session.scalars(query).one()
            return links.invite(session, found, email=email or next(emails), role=role, actor=SYSTEM, now=NOW)

    return make


def accept(here, token, *, password=NEW, at=NOW):
    with here.database.transaction() as session:
        return links.accept(session, token, password=password, place=PLACE, now=at)


def ask(here, email, *, at=NOW):
    with here.database.transaction() as session:
        return links.request_reset(session, email, place=PLACE, now=at)


def reset(here, token, *, password=NEW, at=NOW):
    with here.database.transaction() as session:
        return links.reset(session, token, password=password, place=PLACE, now=at)


def authenticate(here, email, password):
    with here.database.transaction() as session:
        return users.authenticate(session, email=email, password=password)


def test_an_invited_person_chooses_a_password_and_is_somebody(here, tenant, invite):
    email = next(emails)
    user = accept(here, invite(email, role="analyst"))

    assert (user.email, user.role, user.tenant_id) == (email, "analyst", tenant.id)
    assert authenticate(here, email, NEW).id == user.id
    assert actions(here, tenant.id, email) == ["invitation.create", "invitation.accept"]


def test_operators_are_invited_by_operators(here, invite):
    user = accept(here, invite(is_operator=True, role="operator"))

    assert (user.role, user.tenant_id) == ("operator", None)


@pytest.mark.parametrize(("role", "is_operator"), [("operator", False), ("admin", True), ("owner", False), ("", False)])
def test_nobody_is_invited_to_a_role_that_is_not_theirs_to_give(invite, role, is_operator):
    with pytest.raises(Invalid) as refused:
        invite(role=role, is_operator=is_operator)

    assert [error.field for error in refused.value.errors] == ["role"]


def test_an_invitation_works_once(here, invite):
    token = invite()
    accept(here, token)

    with pytest.raises(LinkSpent):
        accept(here, token)


def test_of_many_at_once_one_accepts(here, invite):
    token = invite()

    def attempt(_):
        try:
            return accept(here, token)
        except LinkSpent:
            return None

    with ThreadPoolExecutor(8) as pool:
        assert len([user for user in pool.map(attempt, range(8)) if user]) == 1


def test_an_invitation_lasts_seven_days(here, invite):
    with pytest.raises(LinkSpent):
        accept(here, invite(), at=NOW + timedelta(days=7))

    assert accept(here, invite(), at=NOW + timedelta(days=7) - SECOND)


def test_a_password_that_is_refused_does_not_use_the_link_up(here, invite):
    token = invite()
    with pytest.raises(Invalid):
        accept(here, token, password="short")

    assert accept(here, token)


def test_an_invitation_can_be_withdrawn_by_its_own_tenant_only(here, tenant, invite):
    token = invite()
    digest = hashlib.sha256(token.encode()).hexdigest()
    other = new_tenant(here)
    for stranger in (other.id, None):
        with pytest.raises(NotFound), here.database.transaction() as session:
            links.withdraw(session, stranger, digest, actor=SYSTEM, now=NOW)
    with here.database.transaction() as session:
        links.withdraw(session, tenant.id, digest, actor=SYSTEM, now=NOW)

    with pytest.raises(LinkSpent):
        accept(here, token)


def test_a_second_invitation_ends_the_first(here, tenant, invite):
    email = next(emails)
    first, second = invite(email), invite(email.upper())
    with here.database.transaction() as session:
        assert [link.email for link in links.open_invitations(session, tenant.id, now=NOW)] == [email.upper()]

    with pytest.raises(LinkSpent):
        accept(here, first)
    assert accept(here, second)


def test_who_is_here_is_not_invited(here, tenant, invite):
    with pytest.raises(Conflict):
        invite(new_user(here, tenant.slug).email.upper())


def test_inviting_does_not_tell_who_is_elsewhere(here, invite):
    stranger = new_user(here, new_tenant(here).slug)
    token = invite(stranger.email)

    with pytest.raises(Conflict):
        accept(here, token)
    assert authenticate(here, stranger.email, PASSWORD).tenant_id == stranger.tenant_id


def test_who_was_removed_can_be_invited_again(here, tenant, invite):
    new_user(here, tenant.slug)
    user = new_user(here, tenant.slug)
    with here.database.transaction() as session:
        users.remove(session, users.get(session, tenant.id, user.id), actor=SYSTEM, now=NOW)

    again = accept(here, invite(user.email))
    assert (again.email, again.id != user.id) == (user.email, True)


def test_nobody_joins_a_suspended_tenant(here, tenant, invite):
    token = invite()
    tenant.become("suspended")

    with pytest.raises(LinkSpent):
        accept(here, token)


def test_a_reset_sets_the_password_and_ends_all_sessions(here, tenant):
    user = new_user(here, tenant.slug)
    with here.database.transaction() as session:
        row = sessions.begin(session, user, place=PLACE, is_complete=True, now=NOW)
    reset(here, ask(here, user.email).token)

    assert authenticate(here, user.email, PASSWORD) is None
    assert authenticate(here, user.email, NEW)
    with here.database.transaction() as session:
        assert sessions.find(session, row.id, now=NOW) is None
    assert actions(here, tenant.id, user.email)[-2:] == ["user.request_reset", "user.reset_password"]


def test_a_reset_lasts_an_hour_and_works_once(here, tenant):
    user = new_user(here, tenant.slug)
    with pytest.raises(LinkSpent):
        reset(here, ask(here, user.email).token, at=NOW + timedelta(hours=1))
    token = ask(here, user.email).token
    reset(here, token, at=NOW + timedelta(hours=1) - SECOND)

    with pytest.raises(LinkSpent):
        reset(here, token)


def test_a_new_password_ends_all_other_resets(here, tenant):
    user = new_user(here, tenant.slug)
    first, second = ask(here, user.email).token, ask(here, user.email).token
    reset(here, second)

    with pytest.raises(LinkSpent):
        reset(here, first)


def test_there_is_no_reset_for_nobody_or_somebody_removed(here, tenant):
    new_user(here, tenant.slug)
    user = new_user(here, tenant.slug)
    token = ask(here, user.email).token
    with here.database.transaction() as session:
        users.remove(session, users.get(session, tenant.id, user.id), actor=SYSTEM, now=NOW)

    assert ask(here, user.email) is None
    assert ask(here, next(emails)) is None
    assert ask(here, "no address\0") is None
    with pytest.raises(LinkSpent):
        reset(here, token)


def test_a_link_of_one_kind_is_none_of_the_other(here, tenant, invite):
    with pytest.raises(LinkSpent):
        reset(here, invite())
    with pytest.raises(LinkSpent):
        accept(here, ask(here, new_user(here, tenant.slug).email).token)


@pytest.mark.parametrize("junk", ["", "x", "\ud800", "\0", "x" * 10_000])
def test_junk_is_no_link(here, junk):
    with pytest.raises(LinkSpent):
        accept(here, junk)


def test_tokens_have_256_bits_and_only_their_digest_is_stored(here, owner, invite):
    tokens = {invite() for _ in range(20)}
    stored = owner.execute("SELECT string_agg(row_to_json(l)::text, '') FROM one_time_links AS l").fetchone()[0]

    assert len(tokens) == 20
    assert all(len(token) == 43 for token in tokens)
    assert not any(token in stored for token in tokens)
    assert all(hashlib.sha256(token.encode()).hexdigest() in stored for token in tokens)
