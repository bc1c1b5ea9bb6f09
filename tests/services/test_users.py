"""People who can sign in."""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from gamify.errors import Conflict, Invalid, NotFound
from gamify.services import passwords, tenants, users
from gamify.services.audit import SYSTEM
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.people import RECOMMENDED

emails = (f"person-{os.getpid()}-{n}@mail.example" for n in itertools.count())
PASSWORD = "correct horse battery"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def create(here, tenant):
    """Makes an admin of this test's tenant."""

    def make(**values):
        with here.database.transaction() as session:
            found = tenants.get(session, tenant.slug)
            values = {"tenant": found, "email": next(emails), "role": "admin", "password": PASSWORD} | values
            return users.create(session, **values, actor=SYSTEM)

    return make


def test_passwords_are_hashed_by_argon2id_with_the_recommended_cost(create, monkeypatch):
    monkeypatch.setattr(passwords, "HASHER", RECOMMENDED)
    stored = create().password_hash
    parameters = extract_parameters(stored)

    assert parameters.type is Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19_456, 2, 1)
    assert (parameters.salt_len, parameters.hash_len) >= (16, 32)
    assert PasswordHasher().verify(stored, PASSWORD)


def test_equal_passwords_have_different_hashes(create):
    assert create().password_hash != create().password_hash


def test_a_made_password_is_long_and_never_the_same():
    made = {users.new_password() for _ in range(100)}

    assert len(made) == 100
    assert all(len(password) >= 20 for password in made)


@pytest.mark.parametrize("change", [str, str.upper, str.title])
def test_an_email_is_taken_however_it_is_written(create, change):
    email = create().email

    with pytest.raises(Conflict):
        create(email=change(email))


def test_an_email_is_taken_in_other_tenants_and_by_operators_too(create):
    email = create(tenant=None, role="operator").email

    with pytest.raises(Conflict):
        create(email=email)


def test_an_email_is_unique_in_whatever_script(create):
    email = "İI" + next(emails)
    create(email=email)

    with pytest.raises(Conflict):
        create(email=email)


def test_the_database_knows_it_too(here, create):
    email = create().email

    with pytest.raises(IntegrityError, match="users_email_key"), here.database.transaction() as session:
        session.execute(
            text("INSERT INTO users (email, password_hash, role) VALUES (:email, 'x', 'operator')"), {"email": email.upper()}
        )


@pytest.mark.parametrize(
    "email",
    ["", "nobody", "@mail.example", "a@", "a b@mail.example", "a@b@c", "a\n@mail.example", "x" * 65 + "@mail.example", "a\0@b"],
)
def test_what_is_no_email_is_refused(create, email):
    with pytest.raises(Invalid) as refused:
        create(email=email)

    assert [error.field for error in refused.value.errors] == ["email"]


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 1025])
def test_passwords_too_short_or_too_long_are_refused(create, password):
    with pytest.raises(Invalid) as refused:
        create(password=password)

    assert [error.field for error in refused.value.errors] == ["password"]


def test_everything_wrong_is_said_at_once(create):
    with pytest.raises(Invalid) as refused:
        create(email="nobody", password="short")

    assert [error.field for error in refused.value.errors] == ["email", "password"]


@pytest.mark.parametrize(("role", "has_tenant"), [("operator", True), ("admin", False), ("analyst", False), ("owner", True)])
def test_only_operators_have_no_tenant(here, create, role, has_tenant):
    with pytest.raises(IntegrityError):
        create(role=role, **({} if has_tenant else {"tenant": None}))


def authenticate(here, email, password=PASSWORD):
    with here.database.transaction() as session:
        return users.authenticate(session, email=email, password=password)


def test_who_has_the_password_is_known_by_it(here, create):
    user, _ = create(), create()

    assert authenticate(here, user.email).id == user.id
    assert authenticate(here, user.email.upper()).id == user.id
    assert authenticate(here, user.email, PASSWORD + "x") is None
    assert authenticate(here, next(emails)) is None
    assert authenticate(here, user.email, "x" * 100_000) is None


def test_a_password_is_stored_anew_when_its_cost_has_changed(here, owner, create):
    user = create()
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    owner.execute("UPDATE users SET password_hash = %s WHERE id = %s", [cheap, user.id])
    assert authenticate(here, user.email, "wrong, and long enough") is None
    assert authenticate(here, user.email).id == user.id

    (stored,) = owner.execute("SELECT password_hash FROM users WHERE id = %s", [user.id]).fetchone()
    assert extract_parameters(stored).memory_cost == passwords.HASHER.memory_cost
    assert authenticate(here, user.email).id == user.id


def test_people_are_found_in_their_own_tenant_only(here, tenant, create):
    user = create()
    with here.database.transaction() as session:
        assert [each.id for each in users.of_tenant(session, tenant.id)] == [user.id]
        assert users.get(session, tenant.id, user.id).email == user.email
        for other in (tenant.sandbox_id, None):
            assert user.id not in {each.id for each in users.of_tenant(session, other)}
            with pytest.raises(NotFound):
                users.get(session, other, user.id)


@pytest.mark.parametrize("change", ["role", "remove"])
def test_of_two_last_admins_that_go_at_once_one_stays(here, tenant, create, change):
    pair = [create(), create()]

    def go(user):
        with here.database.transaction() as session:
            found = users.get(session, tenant.id, user.id)
            if change == "role":
                users.change_role(session, found, "analyst", actor=SYSTEM, now=NOW)
            else:
                users.remove(session, found, actor=SYSTEM, now=NOW)

    def attempt(user):
        try:
            go(user)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, pair)) == [False, True]


def test_the_last_operator_stays(here, owner):
    with here.database.transaction() as session:
        for user in users.of_tenant(session, None)[1:]:
            users.remove(session, user, actor=SYSTEM, now=NOW)
        left = users.of_tenant(session, None) or [
            users.create(session, tenant=None, email=next(emails), role="operator", password=PASSWORD, actor=SYSTEM)
        ]
        with pytest.raises(Conflict, match="last operator"):
            users.remove(session, left[0], actor=SYSTEM, now=NOW)


def test_a_role_that_is_none_here_is_refused(here, tenant, create):
    user, _ = create(), create()
    for role in ("operator", "owner", ""):
        with pytest.raises(Invalid), here.database.transaction() as session:
            users.change_role(session, users.get(session, tenant.id, user.id), role, actor=SYSTEM, now=NOW)
