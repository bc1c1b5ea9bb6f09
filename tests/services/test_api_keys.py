"""API keys: how they look, what is stored of them, and when they work."""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta

import pytest
from gamify.errors import Invalid, NotFound
from gamify.services import api_keys, tenants
from gamify.services.audit import SYSTEM
from sqlalchemy import text

from tests.harness import PEPPER, Api

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def issue(here, tenant):
    """Makes a key and returns it with its secret."""

    def make(*, mode="live", **values):
        with here.database.transaction() as session:
            owner = tenants.get(session, tenant.slug, mode=mode)
            return api_keys.issue(session, owner, pepper=PEPPER, **{"name": "a key"} | values, actor=SYSTEM)

    return make


def authenticate(here, secret, *, now=NOW):
    found = api_keys.find(here.database, api_keys.digest(secret, PEPPER))
    return found and api_keys.authenticate(here.database, *found, now=now)


@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_key_says_its_mode_and_is_long(mode):
    secrets = {api_keys.new_secret(mode) for _ in range(200)}

    assert len(secrets) == 200
    assert all(re.fullmatch(rf"gk_{mode}_[0-9A-Za-z]{{38}}", secret) for secret in secrets)
    assert all(api_keys.is_well_formed(secret) for secret in secrets)


def test_a_typing_error_shows_in_the_check_characters():
    secret = api_keys.new_secret("live")
    for place in range(len("gk_live_"), len(secret)):
        for wrong in {"a", "b", "0"} - {secret[place]}:
            assert not api_keys.is_well_formed(secret[:place] + wrong + secret[place + 1 :])
    swapped = "gk_live_" + secret[9] + secret[8] + secret[10:]
    assert swapped == secret or not api_keys.is_well_formed(swapped)


@pytest.mark.parametrize(
    "junk", ["", "gk_live_", "gk_live_" + "a" * 38, "gk_prod_" + "a" * 38, "é" * 46, "x" * 10_000, "\0" * 46]
)
def test_junk_is_no_key(junk):
    assert not api_keys.is_well_formed(junk)


def test_a_key_of_one_mode_is_no_key_of_the_other():
    assert not api_keys.is_well_formed(api_keys.new_secret("live").replace("live", "test"))


def test_the_digest_is_an_hmac_under_the_pepper():
    expected = hmac.new(b"pepper", b"gk_live_x", hashlib.sha256).digest()

    assert api_keys.digest("gk_live_x", "pepper") == expected
    assert api_keys.digest("gk_live_x", "another") != expected


def test_nothing_stored_gives_the_secret_away(here, issue, owner):
    key, secret = issue()

    stored = owner.execute("SELECT row_to_json(k)::text FROM api_keys AS k WHERE id = %s", [key.id]).fetchone()[0]
    stored += owner.execute("SELECT row_to_json(d)::text FROM key_digests AS d WHERE api_key_id = %s", [key.id]).fetchone()[0]

    assert key.prefix == secret[:16]
    assert key.last_four == secret[-4:]
    assert secret[16:-4] not in stored
    assert api_keys.digest(secret, PEPPER).hex() in stored
    assert hashlib.sha256(secret.encode()).hexdigest() not in stored


def test_no_scopes_means_all(here, issue):
    _, secret = issue()

    assert authenticate(here, secret).scopes == set(api_keys.SCOPES)


def test_a_key_speaks_for_its_tenant_or_sandbox_with_its_limits(here, tenant, issue):
    _, live = issue(scopes=["points:read"], rate_limit=7)
    _, test = issue(mode="test")

    caller = authenticate(here, live)
    assert (caller.tenant_id, caller.key_limit, caller.tenant_limit) == (tenant.id, 7, 5000)
    assert caller.scopes == {"points:read"}
    assert (authenticate(here, test).tenant_id, authenticate(here, test).key_limit) == (tenant.sandbox_id, 1000)


def test_unknown_and_revoked_keys_speak_for_nobody(here, issue):
    key, secret = issue()
    assert authenticate(here, api_keys.new_secret("live")) is None
    assert authenticate(here, secret) is not None

    with here.database.transaction() as session:
        api_keys.revoke(session, key.prefix, actor=SYSTEM)
    with here.database.transaction() as session:
        first = api_keys.revoke(session, key.prefix, actor=SYSTEM).revoked_at
    with here.database.transaction() as session:
        assert api_keys.revoke(session, secret, actor=SYSTEM).revoked_at == first

    assert authenticate(here, secret) is None


def test_a_key_works_until_the_moment_it_expires(here, tenant, issue):
    key, secret = issue()
    with here.database.transaction(tenant.id) as session:
        session.execute(text("UPDATE api_keys SET expires_at = :at WHERE id = :id"), {"at": NOW, "id": key.id})

    assert authenticate(here, secret, now=NOW - timedelta(microseconds=1)) is not None
    assert authenticate(here, secret, now=NOW) is None


def test_a_revoked_key_stops_at_once_though_it_was_just_used(here, api, issue):
    key, secret = issue()
    client: Api = api.with_key(secret)
    assert client.award("p", 1).status == 200

    with here.database.transaction() as session:
        api_keys.revoke(session, key.prefix, actor=SYSTEM)
    here.counters.advance(key.tenant_id)

    assert client.award("p", 1).status == 401


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"scopes": ["points:admin"]}, "scope"),
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"rate_limit": -1}, "rate_limit"),
        ({"rate_limit": 2**53}, "rate_limit"),
    ],
)
def test_unusable_values_are_refused_by_name(issue, values, field):
    with pytest.raises(Invalid) as refused:
        issue(**values)

    assert [error.field for error in refused.value.errors] == [field]


def test_revoking_an_unknown_prefix_is_not_found(here):
    with pytest.raises(NotFound), here.database.transaction() as session:
        api_keys.revoke(session, "gk_live_nothing0", actor=SYSTEM)
