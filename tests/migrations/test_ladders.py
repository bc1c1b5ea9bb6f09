"""Tiers of a database that had several ladders before they had numbers: upgraded, used, and taken back."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from gamify.app import create_app
from gamify.config import Settings
from gamify.deployment import Deployment
from gamify.embedded import EmbeddedServers
from gamify.services import holds, ledger, recalculations, rollups, tiers
from gamify.services.audit import SYSTEM
from gamify.services.ledger import AWARD, Movement
from gamify.services.tiers import Policy

from tests.harness import gamify, make_database, settings_for, url_of

LADDERS = [
    {"bronze": 0, "silver": 500, "gold": 1500},
    {"bronze": 0, "iron": 200, "silver": 700, "gold": 1500, "black": 2000},
    {"tin": 100, "silver": 800},  # the lowest and the highest are gone
    {"bronze": 0, "silver": 600, "star": 900},  # one is back
]
POST = """
    SELECT ledger_post(%s, json_agg(json_build_object('participant', 'p' || n, 'points', 100 * n)))
    FROM generate_series(1, 20) AS n
"""
MOVE = "UPDATE participants SET tier = width_bucket(total_earned, %(t)s) WHERE tenant_id = %(id)s"


@pytest.fixture
def old(servers: EmbeddedServers, run_folder: Path, worker_id: str) -> Iterator[tuple[Settings, int]]:
    """A database of before, with a tenant whose tiers have been replaced between awards."""
    name = f"ladders_{worker_id}"
    make_database(servers, name)
    settings = settings_for(servers, run_folder, name)
    succeed(settings, "db", "upgrade", "0006")
    with psycopg.connect(str(settings.database_url), autocommit=True) as owner:
        tenant = "INSERT INTO tenants (slug, name, sandbox_of) VALUES ('shop', 'Shop', %s) RETURNING id"
        [(tenant_id,)] = owner.execute(tenant, [None]).fetchall()
        owner.execute(tenant, [tenant_id])
        for version, thresholds in enumerate(LADDERS, start=1):
            levels = list(thresholds.values())
            ladder = "INSERT INTO ladders (tenant_id, version, thresholds) VALUES (%s, %s, %s)"
            owner.execute(ladder, [tenant_id, version, levels])
            for level, (code, least) in enumerate(thresholds.items(), start=1):
                tier = (
                    "INSERT INTO tiers (tenant_id, ladder_version, level, code, name, threshold) VALUES (%s, %s, %s, %s, %s, %s)"
                )
                owner.execute(tier, [tenant_id, version, level, code, code.title(), least])
            owner.execute(MOVE, {"t": levels, "id": tenant_id})
            if version < len(LADDERS):
                owner.execute(POST, [tenant_id])
    yield settings, tenant_id
    with psycopg.connect(url_of(servers, "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def succeed(settings: Settings, *arguments: str) -> str:
    done = gamify(settings, *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def upgraded(old: tuple[Settings, int]) -> Iterator[tuple[Deployment, int]]:
    settings, tenant_id = old
    succeed(settings, "db", "upgrade")
    here: Deployment = create_app(settings).extensions["gamify"]
    yield here, tenant_id
    here.close()


def rows(settings: Settings, statement: str, tenant_id: int) -> list[tuple[object, ...]]:
    with psycopg.connect(str(settings.database_url)) as owner:
        return owner.execute(statement, [tenant_id]).fetchall()


@pytest.mark.long
def test_codes_of_the_ladder_in_force_keep_their_levels_as_numbers(upgraded):
    here, tenant_id = upgraded
    found = rows(here.settings, "SELECT DISTINCT code, number FROM tiers WHERE tenant_id = %s", tenant_id)

    numbers = dict(found)
    assert len(numbers) == len(found) == 7  # a code has one number, whatever the version
    assert sorted(numbers.values()) == list(range(1, 8))
    assert [numbers[code] for code in LADDERS[-1]] == [1, 2, 3]


@pytest.mark.long
def test_floors_lead_to_the_next_tier_below_that_is_left(upgraded):
    here, tenant_id = upgraded
    numbers = dict(rows(here.settings, "SELECT DISTINCT code, number FROM tiers WHERE tenant_id = %s", tenant_id))
    ladders = rows(here.settings, "SELECT floors, numbers FROM ladders WHERE tenant_id = %s ORDER BY version", tenant_id)

    floors = [{code: floors[number - 1] for code, number in numbers.items()} for floors, _ in ladders]
    assert floors[3] == {"bronze": 1, "silver": 2, "star": 3, "iron": 1, "gold": 2, "black": 2, "tin": 0}
    assert floors[2] == {"tin": 1, "silver": 2, "bronze": 0, "iron": 0, "gold": 2, "black": 2, "star": 2}
    assert [[numbers[code] for code in each] for each in LADDERS] == [held for _, held in ladders]


@pytest.mark.long
def test_what_was_written_before_is_right_by_the_new_rules_too_whatever_happens_next(upgraded):
    here, tenant_id = upgraded
    succeed(here.settings, "verify")
    with here.database.transaction(tenant_id) as session:
        for who in ("p1", "p2", "p9", "p20"):
            asked = {"code": "star", "reason": "a friend", "until": None, "now": datetime.now(UTC)}
            holds.pin(session, tenant_id, who, **asked, actor=SYSTEM)
    succeed(here.settings, "verify")
    for effect in ("now", "next_award"):
        with here.database.transaction(tenant_id) as session:
            policy = Policy(effect, "keep")
            tiers.put(session, tenant_id, {"gold": 300, "star": 4000}, {}, policy=policy, actor=SYSTEM)
            tiers.shut(session, tenant_id)
            if effect == "now":
                recalculations.begin(session, tenant_id)
        while recalculations.advance(here.database, tenant_id, most=3):
            pass
        ledger.post(here.database, tenant_id, [Movement(AWARD, f"p{n}", 5) for n in range(1, 21, 2)])
        succeed(here.settings, "verify")


@pytest.mark.long
def test_taken_back_tiers_are_levels_again(upgraded):
    here, tenant_id = upgraded
    with here.database.transaction(tenant_id) as session:
        tiers.replace(session, tenant_id, {"black": 100, "gold": 900, "bronze": 2000}, actor=SYSTEM)
    rollups.rebuild(here.database, tenant_id)
    here.close()

    succeed(here.settings, "db", "downgrade", "0006")

    wrong = "SELECT * FROM participants WHERE tenant_id = %s AND tier <> width_bucket(total_earned, '{100,900,2000}'::bigint[])"
    assert rows(here.settings, wrong, tenant_id) == []
    counted = "SELECT tier, count(*) FROM participants WHERE tenant_id = %s GROUP BY tier ORDER BY tier"
    summed = "SELECT tier, participant_count FROM tier_standings WHERE tenant_id = %s ORDER BY tier"
    assert rows(here.settings, counted, tenant_id) == rows(here.settings, summed, tenant_id)
    succeed(here.settings, "db", "upgrade")
    succeed(here.settings, "verify")
