"""Tiers: putting a ladder in force."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from gamify.errors import Conflict, FieldError, Invalid
from gamify.models import Ladder, Tenant, Tier
from gamify.models.tier import COLOURS
from gamify.services import audit, ladder, rollups
from gamify.services.audit import Actor

CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")
MOST_TIERS = 20
HIGHEST_THRESHOLD = 2**63 - 1
LONGEST_NAME = 100
EVERYBODY = (-(2**63), 2**63 - 1)  # as a range of internal ids

# The advisory lock that movements share after locking their rows, and before reading the ladder (see migrations/sql).
_LADDER_LOCK = 1

RECALCULATE = text("SELECT tier_recalculate(:tenant_id, :after, :until, :cause)")
# Whom an award has moved meanwhile by the ladder that it had read.
OVERTAKEN = text("""
    SELECT p.id FROM participants AS p JOIN ladders AS ladder ON ladder.tenant_id = p.tenant_id AND ladder.version = :version
    WHERE p.tenant_id = :tenant_id AND p.ladder_version <> :version AND (p.is_held OR p.tier <> COALESCE(
        ladder.numbers[tier_level(p.tenant_id, ladder, p.id, p.total_earned, clock_timestamp())], 0))
    ORDER BY p.external_id
    FOR NO KEY UPDATE OF p SKIP LOCKED
""")


class Look(NamedTuple):
    """How a tier is called and coloured; a colour of None is chosen by its code or level."""

    name: str
    colour: str | None = None


class Qualification(NamedTuple):
    """Which points count: all ever earned, those of `window_days`, or those of a calendar year.

    In the first `grace_days` of a year those of the year before count too, where they are more.
    """

    basis: str = "lifetime"
    window_days: int | None = None
    grace_days: int | None = None


class Policy(NamedTuple):
    """What becomes of those whom a ladder moves: when, and whether those who would fall do."""

    effect: str = "now"
    falling: str = "keep"
    kept_until: datetime | None = None


MOVE_NOW = Policy("now", "move_down")


def replace(
    session: Session,
    tenant_id: int,
    thresholds: Mapping[str, int],
    *,
    actor: Actor,
    looks: Mapping[str, Look] | None = None,
    based_on: int | None = None,
) -> Ladder:
    """Put new tiers in force and move everybody, up and down, in this transaction.

    A code without a look of its own is called by itself: `gold` becomes "Gold Tier". Raises `Invalid` for unusable codes,
    thresholds, names or colours, and `Conflict` if version `based_on` is not in force any more.
    """
    check(thresholds, looks or {})
    rollups.hold(session, tenant_id)
    newest = put(session, tenant_id, thresholds, looks or {}, policy=MOVE_NOW, actor=actor, is_settled=True, based_on=based_on)
    _move(session, tenant_id, *EVERYBODY)  # nearly everybody, while awards go on
    shut(session, tenant_id)
    # Who holds a row now waits for the lock that we have, so must not be waited for; it will read our ladder and set the
    # tier itself.
    for number in session.scalars(OVERTAKEN, {"tenant_id": tenant_id, "version": newest.version}).all():
        _move(session, tenant_id, number - 1, number)
    return newest


def put(
    session: Session,
    tenant_id: int,
    thresholds: Mapping[str, int],
    looks: Mapping[str, Look],
    *,
    policy: Policy,
    actor: Actor,
    is_settled: bool = False,
    qualification: Qualification | None = None,
    reason: str | None = None,
    based_on: int | None = None,
    action: str = "tiers.replace",
    told: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {}),
) -> Ladder:
    """Add a version of the ladder, which is in force from then on; nobody is moved by this alone.

    How to qualify stays as it was unless said. The audit log says `action`, and what is `told` of before and after beside
    the thresholds. Raises `Conflict` if version `based_on` is not in force any more.
    """
    one_change_at_a_time(session, tenant_id)
    before = ladder.newest(session, tenant_id)
    if based_on is not None and based_on != (before.version if before else 0):
        raise Conflict("Somebody else has changed the tiers meanwhile. Look at what is there now, and change that.")
    was = {tier.code: tier.threshold for tier in ladder.in_force(session, tenant_id)}
    newest = draw(session, tenant_id, thresholds, policy=policy, qualification=qualification)
    newest.is_settled, newest.reason, newest.published_by = is_settled, reason, actor.name
    session.add(newest)
    session.flush()
    session.add_all(_rungs(newest, in_order(thresholds), looks))
    session.flush()
    said = {"before": {**was, **told[0]} or None, "after": {**dict(in_order(thresholds)), **told[1]}}
    audit.record(session, tenant_id, actor, action=action, subject="tiers", **said)
    return newest


def draw(
    session: Session,
    tenant_id: int,
    thresholds: Mapping[str, int],
    *,
    policy: Policy,
    qualification: Qualification | None = None,
) -> Ladder:
    """Return what would be the next version of the ladder, without putting it in force."""
    before = ladder.newest(session, tenant_id)
    if qualification is None:
        qualification = Qualification(before.basis, before.window_days, before.grace_days) if before else Qualification()
    codes = [code for code, _ in in_order(thresholds)]
    known = ladder.known(session, tenant_id)
    numbers = _numbers(known, codes)
    return Ladder(
        tenant_id=tenant_id,
        version=before.version + 1 if before else 1,
        thresholds=[thresholds[code] for code in codes],
        numbers=[numbers[code] for code in codes],
        floors=_floors(session, tenant_id, known, numbers, codes),
        **qualification._asdict(),
        time_zone=session.scalars(select(Tenant.time_zone).where(Tenant.id == tenant_id)).one(),
        **policy._asdict(),
    )


def in_order(thresholds: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return codes with their thresholds, the lowest first."""
    return sorted(thresholds.items(), key=itemgetter(1))


def one_change_at_a_time(session: Session, tenant_id: int) -> None:
    """Wait for whoever changes this tenant's tiers, or their draft; others wait until this transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"ladder of {tenant_id}"))))


def _rungs(newest: Ladder, rungs: Sequence[tuple[str, int]], looks: Mapping[str, Look]) -> Iterator[Tier]:
    where = {"tenant_id": newest.tenant_id, "ladder_version": newest.version}
    for level, (code, threshold) in enumerate(rungs, start=1):
        name, colour = looks.get(code) or Look(usual_name(code))
        place = {"level": level, "number": newest.numbers[level - 1]}
        yield Tier(**where, **place, code=code, name=name, colour=colour, threshold=threshold)


def shut(session: Session, tenant_id: int) -> None:
    """Let movements that have read an older ladder come to their end, and others wait until this transaction has."""
    session.execute(select(func.pg_advisory_xact_lock(_LADDER_LOCK, func.hashint8(tenant_id))))


def _move(session: Session, tenant_id: int, after: int, until: int) -> None:
    session.execute(RECALCULATE, {"tenant_id": tenant_id, "after": after, "until": until, "cause": "published"})


def _numbers(known: Mapping[int, Tier], codes: Sequence[str]) -> dict[str, int]:
    """The number of every code: its own if it has ever been in force, else the next one."""
    numbers = {tier.code: number for number, tier in known.items()}
    for code in codes:
        numbers.setdefault(code, max(numbers.values(), default=0) + 1)
    return numbers


def _floors(
    session: Session, tenant_id: int, known: Mapping[int, Tier], numbers: Mapping[str, int], codes: Sequence[str]
) -> list[int]:
    """By number, the level of its holders on a ladder of `codes`: of the highest tier left that was not above theirs."""
    levels = {code: level for level, code in enumerate(codes, start=1)}
    floors = []
    for code, number in sorted(numbers.items(), key=lambda item: item[1]):
        level = levels.get(code)
        if level is None:
            tier = known[number]
            below = select(Tier.code).where(Tier.tenant_id == tenant_id, Tier.ladder_version == tier.ladder_version)
            held = session.scalars(below.where(Tier.level < tier.level))
            level = max((levels.get(each, 0) for each in held), default=0)
        floors.append(level)
    return floors


def usual_name(code: str) -> str:
    """What a tier is called unless somebody says otherwise."""
    return f"{code.replace('_', ' ').replace('-', ' ').title()} Tier"


def check(thresholds: Mapping[str, int], looks: Mapping[str, Look]) -> None:
    """Raise `Invalid` for codes, thresholds, names or colours that no ladder can have."""
    errors = [
        FieldError(f"tiers.{code}", "A code is 1 to 50 lower-case letters, digits, _ and -.")
        for code in thresholds
        if not CODE.fullmatch(code)
    ]
    errors += [
        FieldError(f"tiers.{code}", f"A threshold is a whole number from 0 to {HIGHEST_THRESHOLD}.")
        for code, threshold in thresholds.items()
        if not 0 <= threshold <= HIGHEST_THRESHOLD
    ]
    for code, look in looks.items():
        if not look.name.strip() or len(look.name) > LONGEST_NAME or "\0" in look.name:
            errors.append(FieldError(f"tiers.{code}", f"A name is 1 to {LONGEST_NAME} characters."))
        if look.colour not in (None, *COLOURS):
            errors.append(FieldError(f"tiers.{code}", f"A colour is one of {', '.join(COLOURS)}."))
    if len(set(thresholds.values())) < len(thresholds):
        errors.append(FieldError("tiers", "Two tiers cannot have the same threshold."))
    if len(thresholds) > MOST_TIERS:
        errors.append(FieldError("tiers", f"There can be at most {MOST_TIERS} tiers."))
    if errors:
        raise Invalid(errors)
