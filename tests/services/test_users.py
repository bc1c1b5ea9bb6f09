"""People who can sign in."""

import itertools
import os

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from gamify.errors import Conflict, Invalid
from gamify.services import tenants, users
from gamify.services.audit import SYSTEM
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

emails = (f"person-{os.getpid()}-{n}@mail.example" for n in itertools.count())
PASSWORD = "correct horse battery"


@pytest.fixture
def create(here, tenant):
    """Makes an admin of this test's tenant."""

    def make(**values):
        with here.database.transaction() as session:
            found = tenants.get(session, tenant.slug)
            values = {"tenant": found, "email": next(emails), "role": "admin", "password": PASSWORD} | values
            return users.create(session, **values, actor=SYSTEM)

    return make


def test_passwords_are_hashed_by_argon2id_with_the_recommended_cost(create):
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
