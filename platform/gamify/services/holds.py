"""Holds: tiers pinned by hand, and the end of what holds somebody."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from gamify.errors import FieldError, Invalid
from gamify.models import Participant, TierHold
from gamify.models.tier_hold import KEEP, PIN
from gamify.services import audit, details, ladder, rollups
from gamify.services.audit import Actor
from gamify.services.bounds import LONGEST_REASON, text_problem

AT_ONCE = 500  # holds a transaction

CATCH_UP = text("SELECT tier_catch_up(:tenant_id, :participant_id)")
REEVALUATE = text("SELECT tier_reevaluate(:tenant_id, :participant_id, :cause, :reason, :changed_by)")


def pin(
    session: Session,
    tenant_id: int,
    participant_id: str,
    *,
    code: str,
    reason: str,
    until: datetime | None,
    now: datetime,
    actor: Actor,
) -> TierHold:
    """Hold a participant on a tier of the ladder in force, whatever they earn, until an instant or until unpinned.

    Pinned again, the new pin takes the place of the old one; the very same again changes nothing. Raises `NotFound`, `Invalid`.
    """
    tier = next((each for each in ladder.in_force(session, tenant_id) if each.code == code), None)
    problems = {
        "tier": None if tier else "There is no such tier on the ladder in force.",
        "reason": _reason_problem(reason),
        "expires_at": "Must lie in the future." if until and until <= now else None,
    }
    if tier is None or any(problems.values()):
        raise Invalid([FieldError(field, problem) for field, problem in problems.items() if problem])
    participant, held = _locked(session, tenant_id, participant_id)
    if held and (held.number, held.until, held.reason) == (tier.number, until, reason.strip()):
        return held
    _catch_up(session, tenant_id, participant.id)
    whose = {"tenant_id": tenant_id, "participant_id": participant.id, "kind": PIN}
    said = {"number": tier.number, "until": until, "reason": reason.strip(), "held_by": actor.name, "created_at": now}
    held = session.merge(TierHold(**whose, **said))
    _reevaluate(session, tenant_id, participant.id, cause="pinned", reason=reason.strip(), changed_by=actor.name)
    after = {"tier": code, "until": until.isoformat() if until else None}
    audit.record(session, tenant_id, actor, action="tier.pin", subject=f"participant {participant.id}", after=after)
    return held


def unpin(session: Session, tenant_id: int, participant_id: str, *, actor: Actor, reason: str | None = None) -> bool:
    """Let a participant stand where they have earned to; return whether they were pinned. Raises `NotFound`, `Invalid`."""
    reason = (reason or "").strip() or None
    if reason and (problem := _reason_problem(reason)):
        raise Invalid([FieldError("reason", problem)])
    participant, held = _locked(session, tenant_id, participant_id)
    if held is None:
        return False
    _catch_up(session, tenant_id, participant.id)
    said = {"tier": ladder.known(session, tenant_id)[held.number].code}
    session.delete(held)
    _reevaluate(session, tenant_id, participant.id, cause="unpinned", reason=reason, changed_by=actor.name)
    audit.record(session, tenant_id, actor, action="tier.unpin", subject=f"participant {participant.id}", before=said)
    return True


def end_due(session: Session, tenant_id: int, *, now: datetime, most: int = AT_ONCE) -> int:
    """End the holds whose time is over, `most` at most, and return how many there were."""
    due = select(TierHold).where(TierHold.tenant_id == tenant_id, TierHold.until <= now)
    if session.scalar(due.limit(1)) is None:
        return 0
    rollups.hold(session, tenant_id)
    ids = session.scalars(due.with_only_columns(TierHold.participant_id).order_by(TierHold.until).limit(most)).all()
    those = select(Participant.id).where(Participant.tenant_id == tenant_id, Participant.id.in_(ids))
    locked = those.order_by(Participant.external_id).with_for_update(key_share=True)
    for number in session.scalars(locked).all():
        _catch_up(session, tenant_id, number)  # which may have ended what was kept, or have kept it for longer
    over = due.where(TierHold.participant_id.in_(ids)).order_by(TierHold.kind.desc()).execution_options(populate_existing=True)
    count = 0
    for held in session.scalars(over).all():
        cause = "pin_ended" if held.kind == PIN else "keep_ended"
        session.delete(held)
        _reevaluate(session, tenant_id, held.participant_id, cause=cause, reason=None, changed_by=None)
        count += 1
    return count


def pins(session: Session, tenant_id: int, ids: Collection[int]) -> Mapping[int, TierHold]:
    """Return what pins those of some participants, by their internal numbers, who are pinned."""
    found = select(TierHold).where(TierHold.tenant_id == tenant_id, TierHold.kind == PIN, TierHold.participant_id.in_(ids))
    return {hold.participant_id: hold for hold in session.scalars(found)}


def pinned(session: Session, tenant_id: int) -> frozenset[int]:
    """Return the internal numbers of all who are pinned: few, for each is somebody's deed."""
    return frozenset(
        session.scalars(select(TierHold.participant_id).where(TierHold.tenant_id == tenant_id, TierHold.kind == PIN))
    )


def ending(session: Session, tenant_id: int, *, within: timedelta, now: datetime, most: int) -> Sequence[Any]:
    """Return the pins that end soon, the first to end first: whose, on which tier (its number), and when."""
    soon = select(Participant.external_id, TierHold.number, TierHold.until).join(
        Participant, (Participant.tenant_id == tenant_id) & (Participant.id == TierHold.participant_id)
    )
    soon = soon.where(TierHold.tenant_id == tenant_id, TierHold.kind == PIN, TierHold.until < now + within)
    return session.execute(soon.order_by(TierHold.until, TierHold.participant_id).limit(most)).all()


def kept(session: Session, tenant_id: int, participant: Participant) -> TierHold | None:
    """Return what keeps a participant on a tier that they have not earned by the ladder in force, if anything does."""
    return session.get(TierHold, (tenant_id, participant.id, KEEP))


def _locked(session: Session, tenant_id: int, participant_id: str) -> tuple[Participant, TierHold | None]:
    """A participant with what pins them, and nobody else changes either; the rollups are held first. Raises `NotFound`."""
    rollups.hold(session, tenant_id)
    participant = details.get_locked(session, tenant_id, participant_id)
    return participant, ladder.pin_of(session, tenant_id, participant)


def _catch_up(session: Session, tenant_id: int, number: int) -> None:
    session.execute(CATCH_UP, {"tenant_id": tenant_id, "participant_id": number})


def _reevaluate(session: Session, tenant_id: int, number: int, *, cause: str, reason: str | None, changed_by: str | None) -> None:
    session.flush()
    values = {"tenant_id": tenant_id, "participant_id": number, "cause": cause, "reason": reason, "changed_by": changed_by}
    session.execute(REEVALUATE, values)


def _reason_problem(reason: str) -> str | None:
    if not reason.strip():
        return "Say why, for whoever looks at the tier later."
    long = f"Must have at most {LONGEST_REASON} characters." if len(reason.strip()) > LONGEST_REASON else None
    return text_problem(reason) or long
