"""The second factor: enrolment, codes that work once, recovery codes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
from gamify.errors import Conflict, Invalid
from gamify.services import second_factor, tenants, users
from gamify.services.audit import SYSTEM
from gamify.services.vault import Vault
from sqlalchemy import text

from tests.people import actions, enrolled, new_user

NOW = datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC)
STEP = timedelta(seconds=30)


@pytest.fixture
def user(here, tenant):
    return new_user(here, tenant.slug)


def current(here, user):
    with here.database.transaction() as session:
        return users.get(session, user.tenant_id, user.id)


def check(here, user, code, *, at=NOW):
    with here.database.transaction() as session:
        return second_factor.check(session, here.vault, current(here, user), code, now=at)


def confirm(here, user, ticket, code, *, at=NOW):
    with here.database.transaction() as session:
        return second_factor.confirm(session, here.vault, user, ticket=ticket, code=code, actor=SYSTEM, now=at)


def test_an_app_learns_what_it_needs(here, user):
    offer = second_factor.enrol(here.vault, user, now=NOW)
    uri = urlsplit(offer.uri)

    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", f"/Gamify:{user.email}")
    assert parse_qs(uri.query) == {"secret": [offer.secret], "issuer": ["Gamify"]}
    assert len(offer.secret) == 32
    assert offer.qr.startswith("data:image/svg+xml")


def test_nothing_is_on_before_the_first_code(here, user):
    offer = second_factor.enrol(here.vault, user, now=NOW)
    with pytest.raises(Invalid):
        confirm(here, user, offer.ticket, "000000")
    assert current(here, user).totp_secret is None

    assert len(set(confirm(here, user, offer.ticket, pyotp.TOTP(offer.secret).at(NOW)))) == 10
    assert current(here, user).totp_secret


def test_a_wrong_code_does_not_change_what_is_offered(here, user):
    offer = second_factor.enrol(here.vault, user, now=NOW)
    again = second_factor.enrolment_of(here.vault, user, offer.ticket, now=NOW)

    assert (again.secret, again.uri) == (offer.secret, offer.uri)


@pytest.mark.parametrize("ticket", ["", "junk", "é"])
def test_an_offer_that_is_none_becomes_a_new_one(here, user, ticket):
    assert second_factor.enrolment_of(here.vault, user, ticket, now=NOW).secret
    with pytest.raises(Invalid):
        confirm(here, user, ticket, "000000")


def test_an_offer_is_its_users_own_and_lasts_an_hour(here, tenant, user):
    offer = second_factor.enrol(here.vault, user, now=NOW)
    code = pyotp.TOTP(offer.secret)
    with pytest.raises(Invalid):
        confirm(here, new_user(here, tenant.slug), offer.ticket, code.at(NOW))
    late = NOW + timedelta(seconds=3_601)
    with pytest.raises(Invalid, match="took too long"):
        confirm(here, user, offer.ticket, code.at(late), at=late)


def test_two_enrolments_at_once_leave_one(here, user):
    offers = [second_factor.enrol(here.vault, user, now=NOW) for _ in range(2)]
    confirm(here, user, offers[0].ticket, pyotp.TOTP(offers[0].secret).at(NOW))

    with pytest.raises(Conflict):
        confirm(here, user, offers[1].ticket, pyotp.TOTP(offers[1].secret).at(NOW))
    assert check(here, user, pyotp.TOTP(offers[0].secret).at(NOW + STEP), at=NOW + STEP)


@pytest.mark.parametrize("steps", range(-3, 4))
def test_clocks_may_be_one_step_off(here, user, steps):
    app, _ = enrolled(here, user)

    assert check(here, user, app.at(NOW + steps * STEP)) == (abs(steps) <= 1)


def test_no_code_works_twice_nor_one_before_it(here, user):
    app, _ = enrolled(here, user)

    assert check(here, user, app.at(NOW))
    assert not check(here, user, app.at(NOW))
    assert not check(here, user, app.at(NOW - STEP))
    assert check(here, user, app.at(NOW + STEP))


def test_the_code_that_turned_it_on_does_not_work_again(here, user):
    offer = second_factor.enrol(here.vault, user, now=NOW)
    code = pyotp.TOTP(offer.secret).at(NOW)
    confirm(here, user, offer.ticket, code)

    assert not check(here, user, code)


@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_of_many_at_once_one_code_lets_in_one(here, user, kind):
    app, codes = enrolled(here, user)
    code = app.at(NOW) if kind == "app" else codes[3]
    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(lambda _: check(here, user, code), range(8)))

    assert accepted.count(True) == 1


def test_each_recovery_code_works_once_however_it_is_written(here, user):
    _, codes = enrolled(here, user)

    assert check(here, user, codes[0])
    assert check(here, user, codes[1].upper().replace("-", " "))
    assert check(here, user, codes[2].replace("-", ""))
    assert not any(check(here, user, code) for code in codes[:3])
    assert len(current(here, user).recovery_digests) == 7


def test_codes_of_another_do_not_work(here, tenant, user):
    _, codes = enrolled(here, user)
    other = new_user(here, tenant.slug)
    enrolled(here, other)

    assert not check(here, other, codes[0])


@pytest.mark.parametrize("junk", ["", " ", "12345", "1234567", "۱۲۳۴۵۶", "abc\0", "\ud800", "x" * 10_000])
def test_junk_is_no_code(here, user, junk):
    enrolled(here, user)

    assert not check(here, user, junk)


def test_without_a_second_factor_nothing_is_a_code(here, user):
    assert not check(here, user, "000000")
    assert not check(here, user, "")


def test_nothing_stored_gives_a_secret_or_code_away(here, owner, user):
    offer = second_factor.enrol(here.vault, user, now=NOW)
    codes = confirm(here, user, offer.ticket, pyotp.TOTP(offer.secret).at(NOW))
    row = owner.execute("SELECT totp_secret, recovery_digests FROM users WHERE id = %s", [user.id]).fetchone()

    assert offer.secret.encode() not in row[0]
    assert all(len(digest) == 32 for digest in row[1])
    assert not any(code.replace("-", "").encode() in b"".join(row[1]) for code in codes)
    assert here.vault.unseal("totp", row[0]) == offer.secret.encode()
    assert here.vault.unseal("another purpose", row[0]) is None
    assert Vault("another secret").unseal("totp", row[0]) is None


def test_it_can_be_turned_off_and_the_log_knows(here, tenant, user):
    _, codes = enrolled(here, user)
    with here.database.transaction() as session:
        second_factor.disable(session, users.get(session, tenant.id, user.id), None, actor=SYSTEM)

    assert current(here, user).totp_secret is None
    assert not check(here, user, codes[0])
    assert actions(here, tenant.id, user.email)[-2:] == ["user.second_factor_on", "user.second_factor_off"]


def test_it_cannot_be_turned_off_where_everybody_needs_one(here, tenant, user):
    enrolled(here, user)
    with here.database.transaction() as session:
        second_factor.require(session, tenants.get(session, tenant.slug), is_required=True, actor=SYSTEM)
    with pytest.raises(Conflict), here.database.transaction() as session:
        second_factor.disable(session, users.get(session, tenant.id, user.id), tenants.get(session, tenant.slug), actor=SYSTEM)

    assert current(here, user).totp_secret
    assert actions(here, tenant.id, tenant.slug)[-1:] == ["tenant.require_second_factor"]


def test_another_secret_key_reads_nothing_and_breaks_nothing(here, owner, user):
    enrolled(here, user)
    other = Vault("another secret")
    with here.database.transaction() as session:
        assert not second_factor.check(session, other, current(here, user), "000000", now=NOW)
        assert session.scalar(text("SELECT 1"))
