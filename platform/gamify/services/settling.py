"""Where a ladder that is not in force would put everybody, by one statement: what `previews` are made of.

The rules are those of tier_settle in migrations/sql/0007_ladders.sql, for whom a ladder comes into force; there they are
for one participant, here for all at once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from gamify.models import Ladder, Tier
from gamify.services import drafts, ladder, tiers
from gamify.services.drafts import Content
from gamify.services.idempotency import fingerprint
from gamify.services.tiers import Policy

OF_LIFETIME = "p.total_earned"
OF_A_TIME = """
    qualifying_points(:tenant_id, (SELECT json_populate_record(NULL::ladders, :ladder)), p.id, p.total_earned,
                      CAST(:now AS timestamptz))
"""
# Whom a pin holds is where it puts them; those who would fall keep their tier, if that is the policy. Tiers are their
# numbers; `place_before` and `place_after` order them all, a tier that is gone being above the one its holders fall back on.
SETTLED = """
    placed AS (
        SELECT p.id, p.external_id, p.tier, p.points, p.level_earned, pinned.level IS NOT NULL AS is_pinned,
               pinned.level IS NULL AND :keeps AND p.level_held > p.level_earned AS is_kept,
               COALESCE(pinned.level, CASE WHEN :keeps THEN GREATEST(p.level_earned, p.level_held) ELSE p.level_earned END)
                   AS level_after
        FROM (
            SELECT p.id, p.external_id, p.tier, p.is_held, p.points,
                   COALESCE(width_bucket(p.points, CAST(:thresholds AS bigint[])), 0) AS level_earned,
                   COALESCE((CAST(:floors AS smallint[]))[p.tier], 0) AS level_held
            FROM (SELECT p.id, p.external_id, p.tier, p.is_held, {points} AS points FROM {participants} AS p) AS p
        ) AS p
        LEFT JOIN (
            SELECT participant_id, COALESCE((CAST(:floors AS smallint[]))[number], 0)::integer AS level
            FROM tier_holds WHERE tenant_id = :tenant_id AND kind = 'pin'
        ) AS pinned ON p.is_held AND pinned.participant_id = p.id
    ), settled AS (
        SELECT id, external_id, tier, points, level_earned, is_pinned, is_kept,
               COALESCE((CAST(:numbers AS smallint[]))[level_after], 0) AS tier_after,
               COALESCE((CAST(:places AS smallint[]))[tier], 0) AS place_before, 2 * level_after AS place_after
        FROM placed
    )
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """A ladder as it would be, and what it takes to ask where it puts people."""

    ladder: Ladder  # not in any session
    in_force: Sequence[Tier]
    known: Mapping[int, Tier]  # tiers that have ever been in force, by number
    codes: Mapping[int, str]  # of those and the new ones
    content: Content
    counts_otherwise: bool  # whether other points count than those of the ladder in force
    values: Mapping[str, Any]

    @property
    def now(self) -> datetime:
        """The instant that it is about."""
        at: datetime = self.values["now"]
        return at

    @property
    def mark(self) -> str:
        """What tells it from plans of other ladders and policies."""
        said = {name: value for name, value in self.values.items() if name != "now"}
        return fingerprint("plan", said).hex()

    @property
    def counts_a_time(self) -> bool:
        """Whether every participant's ledger has to be looked at."""
        return self.ladder.basis != drafts.LIFETIME

    def sql(self, participants: str = "(SELECT * FROM participants WHERE tenant_id = :tenant_id)") -> str:
        """The common table `settled`, of all participants or of some."""
        return SETTLED.format(points=OF_A_TIME if self.counts_a_time else OF_LIFETIME, participants=participants)

    def number(self, code: str) -> int | None:
        """The number of a code that is known or drafted; 0 for the empty one: no tier."""
        return 0 if not code else next((number for number, each in self.codes.items() if each == code), None)


def plan(session: Session, tenant_id: int, content: Content, policy: Policy, *, now: datetime) -> Plan:
    """Draw the ladder that a content would become. Raises `Invalid` for what cannot be published."""
    drafts.check(content)
    newest, in_force = ladder.newest(session, tenant_id), ladder.in_force(session, tenant_id)
    drawn = tiers.draw(session, tenant_id, content.thresholds, policy=policy, qualification=content.qualification)
    known = ladder.known(session, tenant_id)
    in_order = [code for code, _ in tiers.in_order(content.thresholds)]
    values = {
        "tenant_id": tenant_id,
        "ladder": _written(drawn),
        "thresholds": drawn.thresholds,
        "numbers": drawn.numbers,
        "floors": drawn.floors,
        "places": [2 * level + (number not in drawn.numbers) for number, level in enumerate(drawn.floors, start=1)],
        "keeps": policy.falling == "keep" or (policy.kept_until is not None and now < policy.kept_until),
        "now": now,
    }
    codes = {number: tier.code for number, tier in known.items()} | dict(zip(drawn.numbers, in_order, strict=True))
    counts_otherwise = content.qualification != drafts.content_of(newest, in_force).qualification
    return Plan(drawn, in_force, known, codes, content, counts_otherwise, values)


def _written(drawn: Ladder) -> str:
    """As the database reads a row; of its columns, those that qualifying points depend on."""
    needed = ("basis", "window_days", "grace_days", "time_zone")
    return json.dumps({name: getattr(drawn, name) for name in needed})
