"""A believable tenant: thousands of participants and a year of ledger, the same for the same seed."""

import json
import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import psycopg
from sqlalchemy.orm import Session

from gamify.db import act_as
from gamify.services import api_keys, rollups, tenants, tiers, users
from gamify.services.audit import SYSTEM

SLUG, NAME = "demo", "Harbour Coffee"
TIERS = {"bronze": 0, "silver": 500, "gold": 1500, "platinum": 4000}
PARTICIPANTS, DAYS, SEED = 5_000, 365, 20_260_214
AWARDS_A_YEAR = 22  # of a typical participant
PRODUCTS = ("Flat white", "Beans 500 g", "Cold brew", "Breakfast", "Gift box")
REWARDS = ((150, "Free coffee"), (300, "Breakfast for two"), (600, "Bag of beans"), (1200, "Barista course"))

MAKE_STAGE = (
    "CREATE TEMP TABLE staged (external_id text, n int, points bigint, reason text, metadata text, at timestamptz) ON COMMIT DROP"
)
FILL_STAGE = "COPY staged (external_id, n, points, reason, metadata, at) FROM STDIN"
FILL_PARTICIPANTS = """
    INSERT INTO participants
        (tenant_id, external_id, balance, total_earned, total_spent, entry_count, tier, last_entry_at, created_at)
    SELECT %(tenant_id)s, external_id, sum(points), COALESCE(sum(points) FILTER (WHERE points > 0), 0),
           COALESCE(-sum(points) FILTER (WHERE points < 0), 0), count(*),
           width_bucket(COALESCE(sum(points) FILTER (WHERE points > 0), 0), %(thresholds)s::bigint[]), max(at), min(at)
    FROM staged GROUP BY external_id ORDER BY min(at)
"""
FILL_ENTRIES = """
    INSERT INTO ledger_entries (
        tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after, total_spent_after,
        ladder_version, tier_before, tier_after, reason, metadata, api_key_id, created_at)
    SELECT %(tenant_id)s, p.id, n, entry_id(at), CASE WHEN points > 0 THEN 'award' ELSE 'deduct' END, points,
           sum(points) OVER past, sum(GREATEST(points, 0)) OVER past, -sum(LEAST(points, 0)) OVER past, %(ladder)s,
           width_bucket(sum(GREATEST(points, 0)) OVER past - GREATEST(points, 0), %(thresholds)s::bigint[]),
           width_bucket(sum(GREATEST(points, 0)) OVER past, %(thresholds)s::bigint[]), reason, metadata::json, %(api_key_id)s, at
    FROM staged JOIN participants AS p ON p.tenant_id = %(tenant_id)s AND p.external_id = staged.external_id
    WINDOW past AS (PARTITION BY staged.external_id ORDER BY n)
"""


class Demo(NamedTuple):
    """What somebody needs to try the demo tenant."""

    live_key: str
    test_key: str
    sign_ins: dict[str, str]  # e-mail → password


def exists(session: Session) -> bool:
    """Whether the demo tenant is there already."""
    return any(tenant.slug == SLUG for tenant in tenants.every(session))


def fill(session: Session, *, pepper: str, now: datetime) -> Demo:
    """Create the demo tenant with its history up to `now`, keys and people."""
    tenant = tenants.create(session, slug=SLUG, name=NAME, actor=SYSTEM)
    sandbox = tenants.get(session, SLUG, mode="test")
    _, test_key = api_keys.issue(session, sandbox, name="Demo (test)", pepper=pepper, actor=SYSTEM)
    key, live_key = api_keys.issue(session, tenant, name="Demo", pepper=pepper, actor=SYSTEM)
    act_as(session, tenant.id)
    ladder = tiers.replace(session, tenant.id, TIERS, actor=SYSTEM)
    connection: psycopg.Connection[Any] = session.connection().connection.driver_connection  # type: ignore[assignment]  # psycopg's
    with connection.cursor() as cursor:
        cursor.execute(MAKE_STAGE)
        with cursor.copy(FILL_STAGE) as copy:
            for row in movements(Random(SEED), now=now):  # noqa: S311  # repeatable on purpose
                copy.write_row(row)
        values = {"tenant_id": tenant.id, "thresholds": ladder.thresholds, "ladder": ladder.version, "api_key_id": key.id}
        for statement in ("ANALYZE staged", FILL_PARTICIPANTS, FILL_ENTRIES):
            cursor.execute(statement, values)
    rollups.derive(session, tenant.id, until=now)  # all in the past, and nobody else knows the tenant yet
    sign_ins = {f"{role}@demo.example": users.new_password() for role in ("admin", "analyst")}
    for email, password in sign_ins.items():
        users.create(session, tenant=tenant, email=email, role=email.partition("@")[0], password=password, actor=SYSTEM)
    return Demo(live_key, test_key, sign_ins)


def movements(random: Random, *, now: datetime) -> Iterator[tuple[str, int, int, str, str | None, datetime]]:
    """Yield (id, number, points, reason, metadata, time) of each participant's movements, in order.

    Purchases follow the week and the season, customers join all year and some fade away; rewards are redeemed as soon as
    somebody with the patience for it can afford them.
    """
    start = now - timedelta(days=DAYS)
    order = 10_000
    for number in range(1, PARTICIPANTS + 1):
        joined = DAYS * random.random() ** 1.4
        stays = min(DAYS - joined, random.expovariate(1 / 160))
        wanted = max(1, round(AWARDS_A_YEAR * random.lognormvariate(0, 0.7) * stays / DAYS))
        taste, patience = random.randrange(len(REWARDS)), random.uniform(1, 2.5)
        balance = n = 0
        for day in sorted(_season(random, joined, stays) for _ in range(wanted)):
            order += 1
            n += 1
            at = start + timedelta(days=day)
            price = round(random.lognormvariate(2.4, 0.6), 2)
            points = max(1, min(2_000, round(price * 5)))
            product = random.choice(PRODUCTS)
            details = json.dumps({"order_id": f"ord_{order}", "amount_usd": price, "product": product}, separators=(",", ":"))
            balance += points
            yield f"user_{number}", n, points, "Purchase completed", details, at
            cost, reward = REWARDS[taste]
            if balance > cost * patience:
                n += 1
                balance -= cost
                yield f"user_{number}", n, -cost, f"Reward: {reward}", None, at + timedelta(seconds=1)


def _season(random: Random, joined: float, stays: float) -> float:
    """Return a day (0 to `DAYS`) on which somebody buys: more in winter and at week-ends, by rejection."""
    while True:
        day = joined + random.random() * stays
        weight = 0.6 + 0.25 * math.cos(2 * math.pi * day / DAYS) + (0.15 if int(day) % 7 in (5, 6) else 0)
        if random.random() < weight:
            return day
