"""Keys that end: expiry, and rolling to a new key while the old one goes on for a while."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from gamify.errors import Conflict, Invalid, NotFound
from gamify.models import ApiKey, AuditEntry
from gamify.services import api_keys, tenants
from gamify.services.api_keys import OVERLAPS
from gamify.services.audit import Actor
from sqlalchemy import select

from tests.harness import PEPPER, new_tenant

NOW = datetime.now(UTC)
MOMENT = timedelta(microseconds=1)
ADMIN = Actor("user", "ana@acme.example", 7, "192.0.2.7", "req-1")


@pytest.fixture
def issue(here, tenant):
    """Makes a key and returns it with its secret."""

    def make(*, mode="live", **values):
        with here.database.transaction() as session:
            owner = tenants.get(session, tenant.slug, mode=mode)
            return api_keys.issue(session, owner, pepper=PEPPER, actor=ADMIN, **{"name": "a key", "now": NOW} | values)

    return make


@pytest.fixture
def roll(here):
    """Rolls a key and returns the new one with its secret."""

    def make(prefix, *, overlap="24h", now=NOW, **values):
        with here.database.transaction() as session:
            values = {"overlap": OVERLAPS.get(overlap, overlap), "pepper": PEPPER, "actor": ADMIN, "now": now} | values
            return api_keys.roll(session, prefix, **values)

    return make


def works(here, secret, *, now):
    found = api_keys.find(here.database, api_keys.digest(secret, PEPPER))
    return bool(found and api_keys.authenticate(here.database, *found, now=now))


def stored(here, tenant_id, key):
    with here.database.transaction(tenant_id) as session:
        return session.get_one(ApiKey, (tenant_id, key.id))


def logged(here, tenant_id, action):
    with here.database.transaction(tenant_id) as session:
        return session.scalars(select(AuditEntry).where(AuditEntry.tenant_id == tenant_id, AuditEntry.action == action)).all()


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=1)])
def test_a_key_cannot_have_expired_before_it_is_made(issue, late):
    with pytest.raises(Invalid) as refused:
        issue(expires_at=NOW - late)

    assert [error.field for error in refused.value.errors] == ["expires_at"]


def test_a_key_with_an_expiry_works_until_then(here, issue):
    _, secret = issue(expires_at=NOW + timedelta(days=90))

    assert works(here, secret, now=NOW + timedelta(days=90) - MOMENT)
    assert not works(here, secret, now=NOW + timedelta(days=90))


@pytest.mark.parametrize("overlap", ["1h", "24h", "7d"])
def test_a_rolled_key_goes_on_for_the_overlap_beside_the_new_one(here, issue, roll, overlap):
    old, secret = issue()
    _, successor = roll(old.prefix, overlap=overlap)
    end = NOW + OVERLAPS[overlap]

    assert [works(here, secret, now=at) for at in (NOW, end - MOMENT, end)] == [True, True, False]
    assert [works(here, successor, now=at) for at in (NOW, end, end + timedelta(days=900))] == [True, True, True]


def test_a_key_rolled_without_overlap_is_out_of_use_whatever_the_clock_says(here, issue, roll):
    old, secret = issue()
    _, successor = roll(old.prefix, overlap="0h")

    assert not works(here, secret, now=NOW - timedelta(minutes=5))
    assert works(here, successor, now=NOW)


def test_no_overlap_lasts_beyond_the_keys_own_expiry(here, issue, roll):
    old, secret = issue(expires_at=NOW + timedelta(hours=2))
    roll(old.prefix, overlap="7d")

    assert works(here, secret, now=NOW + timedelta(hours=2) - MOMENT)
    assert not works(here, secret, now=NOW + timedelta(hours=2))


@pytest.mark.parametrize("mode", ["live", "test"])
def test_the_new_key_may_do_what_the_old_one_might(here, tenant, issue, roll, mode):
    values = {"name": "till 3", "scopes": ["points:read", "tiers:read"], "rate_limit": 77, "allowed_networks": ["192.0.2.7"]}
    old, _ = issue(mode=mode, **values)

    key, secret = roll(old.prefix)

    assert secret.startswith(f"gk_{mode}_")
    assert (key.name, key.scopes, key.rate_limit, key.allowed_networks) == ("till 3", old.scopes, 77, ["192.0.2.7/32"])
    assert stored(here, old.tenant_id, old).replaced_by == key.id
    assert key.tenant_id == (tenant.id if mode == "live" else tenant.sandbox_id)


def test_the_new_key_lasts_as_long_as_the_old_one_was_made_for(here, issue, roll):
    old, _ = issue(expires_at=NOW + timedelta(days=90))
    later = NOW + timedelta(days=60)

    key, _ = roll(old.prefix, now=later)

    assert key.expires_at == later + (old.expires_at - old.created_at)


def test_a_key_out_of_use_or_rolled_before_cannot_be_rolled(here, issue, roll):
    revoked, expired, rolled = issue()[0], issue(expires_at=NOW + timedelta(hours=1))[0], issue()[0]
    with here.database.transaction() as session:
        api_keys.revoke(session, revoked.prefix, actor=ADMIN)
    roll(rolled.prefix)

    for key, state in ((revoked, "revoked"), (expired, "expired"), (rolled, "rolling")):
        with pytest.raises(Conflict, match=state):
            roll(key.prefix, now=NOW + timedelta(hours=1))


def test_two_who_roll_one_key_at_once_make_one_successor(here, tenant, issue, roll):
    old, _ = issue()

    def attempt(_):
        try:
            return roll(old.prefix)
        except Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        made = [each for each in pool.map(attempt, range(4)) if each]

    assert len(made) == 1
    assert len(logged(here, tenant.id, "api_key.roll")) == 1


def test_an_overlap_is_one_of_four(issue, roll):
    old, _ = issue()
    with pytest.raises(Invalid) as refused:
        roll(old.prefix, overlap=timedelta(days=30))

    assert [error.field for error in refused.value.errors] == ["overlap"]


def test_a_stranger_finds_no_key_to_roll_or_revoke(here, issue, roll):
    old, secret = issue()
    other = new_tenant(here)
    own = (other.id, other.sandbox_id)

    with pytest.raises(NotFound) as unknown:
        roll("gk_live_nothing0", of=own)
    with pytest.raises(NotFound) as strange:
        roll(old.prefix, of=own)
    with pytest.raises(NotFound), here.database.transaction() as session:
        api_keys.revoke(session, old.prefix, actor=ADMIN, of=own)

    assert str(strange.value) == str(unknown.value).replace("gk_live_nothing0", old.prefix)
    assert works(here, secret, now=NOW)


def test_a_key_that_is_rolling_can_be_revoked_before_its_time(here, issue, roll):
    old, secret = issue()
    _, successor = roll(old.prefix, overlap="7d")
    with here.database.transaction() as session:
        api_keys.revoke(session, old.prefix, actor=ADMIN)

    assert not works(here, secret, now=NOW)
    assert works(here, successor, now=NOW)


def test_a_key_has_a_state(here, tenant, issue, roll):
    valid, rolling = issue()[0], issue()[0]
    roll(rolling.prefix, overlap="1h")
    rolling = stored(here, tenant.id, rolling)

    assert api_keys.state_of(valid, now=NOW) == "valid"
    assert api_keys.state_of(rolling, now=NOW) == "rolling"
    assert api_keys.state_of(rolling, now=NOW + timedelta(hours=1)) == "expired"


def test_issuing_rolling_and_revoking_are_logged_once_each_and_hold_no_secret(here, tenant, issue, roll):
    old, secret = issue(allowed_networks=["192.0.2.7"], expires_at=NOW + timedelta(days=1))
    key, successor = roll(old.prefix, overlap="1h")
    for _ in range(2):
        with here.database.transaction() as session:
            api_keys.revoke(session, key.prefix, actor=ADMIN)

    [issued] = [entry for entry in logged(here, tenant.id, "api_key.issue") if entry.subject == old.prefix]
    [rolled], [revoked] = (logged(here, tenant.id, action) for action in ("api_key.roll", "api_key.revoke"))
    assert issued.after["allowed_networks"] == ["192.0.2.7/32"]
    assert issued.after["expires_at"] == (NOW + timedelta(days=1)).isoformat()
    assert (rolled.subject, rolled.after["replaced_by"]) == (old.prefix, key.prefix)
    assert rolled.after["valid_until"] == (NOW + timedelta(hours=1)).isoformat()
    assert revoked.subject == key.prefix
    for entry in (issued, rolled, revoked):
        assert (entry.actor, entry.actor_id, entry.address, entry.request_id) == ("ana@acme.example", 7, "192.0.2.7", "req-1")
        assert not [each for each in (secret, successor) if each[16:-4] in f"{entry.before}{entry.after}"]
