"""Tiers: the ladder in force, and everybody's place on it."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from gamify.errors import Conflict, FieldError, Invalid
from gamify.models import Ladder, Tier
from gamify.models.tier import COLOURS
from gamify.services import audit, rollups
from gamify.services.audit import Actor

CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")
MOST_TIERS = 20
HIGHEST_THRESHOLD = 2**63 - 1
LONGEST_NAME = 100

# The advisory lock that movements share after locking their rows, and before reading the ladder (see migrations/sql).
_LADDER_LOCK = 1

# Rows in the ledger's lock order; the totals are those under the lock.
_RE_EVALUATE = """
    WITH moving AS MATERIALIZED (
        SELECT id FROM participants
        WHERE tenant_id = :tenant_id AND tier <> width_bucket(total_earned, CAST(:thresholds AS bigint[]))
        ORDER BY external_id
        FOR NO KEY UPDATE
    )
    UPDATE participants AS p SET tier = width_bucket(total_earned, CAST(:thresholds AS bigint[]))
    FROM moving WHERE p.tenant_id = :tenant_id AND p.id = moving.id
"""
RE_EVALUATE = text(_RE_EVALUATE)
RE_EVALUATE_FREE = text(_RE_EVALUATE.replace("FOR NO KEY UPDATE", "FOR NO KEY UPDATE SKIP LOCKED"))


class Look(NamedTuple):
    """How a tier is called and coloured; a colour of None is chosen by its code or level."""

    name: str
    colour: str | None = None


def replace(
    session: Session,
    tenant_id: int,
    thresholds: Mapping[str, int],
    *,
    actor: Actor,
    looks: Mapping[str, Look] | None = None,
    based_on: int | None = None,
) -> Ladder:
    """Put a new ladder in force and re-evaluate everybody, up and down, in this transaction.

    A code without a look of its own is called by itself: `gold` becomes "Gold Tier". Raises `Invalid` for unusable codes,
    thresholds, names or colours, and `Conflict` if version `based_on` is not in force any more.
    """
    _check(thresholds, looks or {})
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"ladder of {tenant_id}"))))  # one change at a time
    rollups.hold(session, tenant_id)
    newest = session.scalar(select(func.max(Ladder.version)).where(Ladder.tenant_id == tenant_id)) or 0
    if based_on is not None and based_on != newest:
        raise Conflict("Somebody else has changed the tiers meanwhile. Look at what is there now, and change that.")
    before = {tier.code: tier.threshold for tier in _of_version(session, tenant_id, newest)}
    rungs = sorted(thresholds.items(), key=lambda item: item[1])
    ladder = Ladder(tenant_id=tenant_id, version=newest + 1, thresholds=[threshold for _, threshold in rungs])
    session.add(ladder)
    session.flush()
    for level, (code, threshold) in enumerate(rungs, start=1):
        name, colour = (looks or {}).get(code) or Look(usual_name(code))
        where = {"tenant_id": tenant_id, "ladder_version": ladder.version, "level": level}
        session.add(Tier(**where, code=code, name=name, colour=colour, threshold=threshold))
    session.flush()
    audit.record(session, tenant_id, actor, action="tiers.replace", subject="tiers", before=before or None, after=dict(rungs))
    values = {"tenant_id": tenant_id, "thresholds": ladder.thresholds}
    session.execute(RE_EVALUATE, values)  # nearly everybody, while awards go on
    rollups.re_evaluate(session, tenant_id, ladder.thresholds)
    session.execute(select(func.pg_advisory_xact_lock(_LADDER_LOCK, func.hashint8(tenant_id))))
    # And whom an award moved meanwhile by the ladder it had read. Who holds a row now waits for the lock that we have,
    # so must not be waited for; it will read our ladder and set the tier itself.
    session.execute(RE_EVALUATE_FREE, values)
    return ladder


def _of_version(session: Session, tenant_id: int, version: int) -> Sequence[Tier]:
    rungs = select(Tier).where(Tier.tenant_id == tenant_id, Tier.ladder_version == version)
    return session.scalars(rungs.order_by(Tier.level)).all()


def usual_name(code: str) -> str:
    """What a tier is called unless somebody says otherwise."""
    return f"{code.replace('_', ' ').replace('-', ' ').title()} Tier"


def _check(thresholds: Mapping[str, int], looks: Mapping[str, Look]) -> None:
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
