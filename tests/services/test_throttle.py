"""Guessing gets slower and slower, and nobody is locked out."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from gamify.errors import TooManyTries
from gamify.services import throttle

from tests.people import emails, new_user, now

NOW = now()


@pytest.fixture
def account(here):
    return throttle.account(here.vault, next(emails))


def try_at(here, seconds, *subjects):
    """Try, and return how long to wait instead (0: the try was made)."""
    try:
        throttle.admit(here.database, subjects, now=NOW + timedelta(seconds=seconds))
    except TooManyTries as refused:
        return int(refused.headers["Retry-After"])
    return 0


def test_the_first_failures_are_free_and_then_the_delay_doubles_to_the_cap(here, account):
    waits, at = [], 0
    for _ in range(12):
        wait = try_at(here, at, account)
        waits.append(wait)
        at += wait
        assert wait == 0 or try_at(here, at, account) == 0

    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_an_address_waits_a_minute_at_most(here):
    assert [throttle.delay(n, throttle.ADDRESS_CAP) for n in (3, 4, 9, 10, 11, 10_000)] == [0, 1, 32, 60, 60, 60]


def test_a_try_that_is_refused_makes_nobody_wait_longer(here, account):
    for _ in range(4):
        try_at(here, 0, account)

    assert [try_at(here, 0, account) for _ in range(50)] == [1] * 50
    assert try_at(here, 1, account) == 0


def test_failures_are_forgotten_after_a_quiet_hour(here, account):
    for _ in range(4):
        try_at(here, 0, account)
    assert try_at(here, 0, account) == 1

    assert [try_at(here, 3600, account) for _ in range(4)] == [0] * 4


def test_failures_are_forgotten_after_a_success(here, account):
    for _ in range(4):
        try_at(here, 0, account)
    with here.database.transaction() as session:
        throttle.forget(session, [account], now=NOW)

    assert [try_at(here, 0, account) for _ in range(5)] == [0, 0, 0, 0, 1]


def test_many_tries_at_once_cannot_outrun_the_count(here, account):
    with ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(lambda _: try_at(here, 0, account), range(64)))

    assert waits.count(0) == 4


def test_many_tries_at_once_from_many_sides_do_not_wait_in_a_circle(here):
    subjects = [throttle.account(here.vault, next(emails)) for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(lambda n: try_at(here, 0, *(subjects if n % 2 else subjects[::-1])), range(64)))

    assert waits.count(0) == 4


def test_what_one_subject_refuses_is_not_counted_for_the_other(here, account):
    address = throttle.address(here.vault, "192.0.2.77")
    for _ in range(4):
        try_at(here, 0, account)
    assert try_at(here, 0, account, address) == 1

    assert [try_at(here, 0, address) for _ in range(4)] == [0] * 4


def test_an_account_is_the_same_however_it_is_written(here):
    email = next(emails)

    assert throttle.account(here.vault, email) == throttle.account(here.vault, f" {email.upper()} ")


def test_an_ipv6_customer_is_one_address(here):
    def digest(where):
        return throttle.address(here.vault, where).digest

    assert digest("2001:db8:1:2::1") == digest("2001:db8:1:2:ffff::9")
    assert digest("2001:db8:1:2::1") != digest("2001:db8:1:3::1")
    assert digest("::ffff:192.0.2.1") == digest("192.0.2.1") != digest("192.0.2.2")
    assert digest("::1") == digest("::2")
    assert digest(None) == digest("") != digest("nonsense")


def test_kinds_of_tries_do_not_meet(here, tenant):
    user = new_user(here, tenant.slug)
    kinds = [
        throttle.account(here.vault, user.email),
        throttle.reset(here.vault, user.email),
        throttle.second_factor(here.vault, user.id),
        throttle.address(here.vault, "192.0.2.1"),
        throttle.reset_address(here.vault, "192.0.2.1"),
    ]

    assert len({kind.digest for kind in kinds}) == len(kinds)


def test_neither_email_nor_address_is_stored(here, owner, account):
    email = next(emails)
    try_at(here, 0, throttle.account(here.vault, email), throttle.address(here.vault, "203.0.113.9"))

    stored = "".join(row[0] for row in owner.execute("SELECT encode(subject, 'escape') FROM sign_in_failures"))
    assert email not in stored
    assert "203.0.113.9" not in stored


def test_what_was_quiet_for_long_is_swept_away(here, owner, account):
    old = throttle.account(here.vault, next(emails))
    try_at(here, -3601, old)
    with here.database.transaction() as session:
        throttle.forget(session, [account], now=NOW)

    assert owner.execute("SELECT count(*) FROM sign_in_failures WHERE subject = %s", [old.digest]).fetchone() == (0,)
