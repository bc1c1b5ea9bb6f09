"""What a business calls its participants and knows of them; to register one is to say it, and needs no award."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from gamify.errors import Conflict, FieldError, Invalid, NotFound
from gamify.models import Participant, ParticipantDetails, TierChange
from gamify.services import audit, json_objects, ladder, measures, rollups
from gamify.services.audit import Actor
from gamify.services.bounds import name_problem, participant_id_problem

D, P = ParticipantDetails, Participant

# See migrations/sql: after the participant's row is locked, and before the ladder is read.
SHARE_LADDER = text("SELECT pg_advisory_xact_lock_shared(1, hashint8(:tenant_id))")


def register(
    session: Session,
    tenant_id: int,
    participant_id: str,
    *,
    display_name: str | None = None,
    attributes: dict[str, Any] | None = None,
) -> None:
    """Say what a participant is called and what is known of them; what is None stays. Who is new gets a row of zeros.

    Said again, it changes nothing. Raises `Invalid`, and `Conflict` for who is erased.
    """
    said = {"display_name": display_name, "attributes": attributes}
    said = {name: value for name, value in said.items() if value is not None}
    _check(said, participant_id)
    participant = _locked(session, tenant_id, participant_id) or _enlisted(session, tenant_id, participant_id)
    if participant.erased_at:
        raise Conflict("This participant was erased; register the person under an id of their own.")
    if said:
        _write(session, participant, said)


def change(session: Session, tenant_id: int, participant_id: str, *, patch: Mapping[str, Any]) -> None:
    """Change `display_name` or `attributes`, or both: the latter are merged, null takes away. Raises `Invalid`, `NotFound`."""
    participant = get_locked(session, tenant_id, participant_id)
    said = {name: patch[name] for name in ("display_name", "attributes") if name in patch}
    if "attributes" in said:
        known = _of(session, participant)
        said["attributes"] = json_objects.merged(known.attributes if known else {}, said["attributes"]) or {}
    _check(said)
    _write(session, participant, said)


def replace(
    session: Session,
    tenant_id: int,
    participant_id: str,
    *,
    display_name: str | None,
    attributes: dict[str, Any],
    actor: Actor,
) -> None:
    """Put these in place of all that is known of a participant: a person's hand. Raises `Invalid`, `NotFound`.

    It is written down which of them have changed; not how, for that could not be erased.
    """
    participant = get_locked(session, tenant_id, participant_id)
    said = {"display_name": display_name, "attributes": attributes}
    _check(said)
    if changed := _write(session, participant, said):
        subject = f"participant {participant.id}"
        audit.record(session, tenant_id, actor, action="participant.edit", subject=subject, after={"changed": changed})


def of(session: Session, tenant_id: int, numbers: Sequence[int]) -> Mapping[int, ParticipantDetails]:
    """Return what is known of participants, by their numbers; those of whom nothing is are not among them."""
    known = select(D).where(D.tenant_id == tenant_id, D.participant_id.in_(numbers)) if numbers else None
    return {each.participant_id: each for each in session.scalars(known)} if known is not None else {}


def get_locked(session: Session, tenant_id: int, participant_id: str) -> Participant:
    """Return a participant who is not erased, locked until the transaction ends. Raises `NotFound`."""
    participant = _locked(session, tenant_id, participant_id)
    if participant is None or participant.erased_at:
        raise NotFound("There is no such participant.")
    return participant


def _locked(session: Session, tenant_id: int, participant_id: str) -> Participant | None:
    """The row is locked as by a movement: nobody else changes details, and nobody is erased meanwhile."""
    if participant_id_problem(participant_id):
        return None
    found = select(P).where(P.tenant_id == tenant_id, P.external_id == participant_id)
    return session.scalar(found.with_for_update(key_share=True).execution_options(populate_existing=True))


def _enlisted(session: Session, tenant_id: int, participant_id: str) -> Participant:
    """Make a participant without entries, unless another transaction has just made them."""
    rollups.hold(session, tenant_id)
    zeros = dict.fromkeys(("balance", "total_earned", "total_spent", "entry_count", "tier"), 0)
    values = {"tenant_id": tenant_id, "external_id": participant_id, **zeros, "last_entry_at": measures.BEGINNING}
    made = session.scalar(upsert(P).values(values).on_conflict_do_nothing().returning(P.id))
    participant = get_locked(session, tenant_id, participant_id)
    if made is not None:
        _place(session, participant)
    return participant


def _place(session: Session, participant: Participant) -> None:
    """Put who is new where no points lead to; what is told of it is where their history begins."""
    tenant_id = participant.tenant_id
    session.execute(SHARE_LADDER, {"tenant_id": tenant_id})
    newest = ladder.newest(session, tenant_id)
    tier = ladder.number_at(session, tenant_id)
    if newest is not None:
        whom = (P.tenant_id == tenant_id, P.id == participant.id)
        session.execute(update(P).where(*whom).values(tier=tier, ladder_version=newest.version))
        told = {"tenant_id": tenant_id, "participant_id": participant.id, "after_seq": 0, "cause": "registered"}
        told |= {"number_before": 0, "number_after": tier, "is_kept": False, "ladder_version": newest.version}
        session.execute(insert(TierChange).values(**told, at=func.tier_instant(tenant_id, None)))
    rollups.enlist(session, tenant_id, participant.id, tier=tier)


def _write(session: Session, participant: Participant, said: Mapping[str, Any]) -> list[str]:
    """Write what is different, and return the names of it."""
    known = _of(session, participant)
    was = {"display_name": known.display_name if known else None, "attributes": known.attributes if known else {}}
    changed = {name: value for name, value in said.items() if not json_objects.is_same(value, was[name])}
    if changed:
        values = {"tenant_id": participant.tenant_id, "participant_id": participant.id, **was, **changed}
        row = upsert(D).values(values)
        row = row.on_conflict_do_update(
            index_elements=["tenant_id", "participant_id"], set_={**changed, "updated_at": func.clock_timestamp()}
        )
        session.execute(row)
        if known:
            session.expire(known)
    return sorted(changed)


def _of(session: Session, participant: Participant) -> ParticipantDetails | None:
    key = (participant.tenant_id, participant.id)
    return session.get(D, key, populate_existing=True)


def _check(said: Mapping[str, Any], participant_id: str | None = None) -> None:
    name, attributes = said.get("display_name"), said.get("attributes")
    problems = {
        "participant_id": participant_id_problem(participant_id) if participant_id is not None else None,
        "display_name": name_problem(name) if name is not None else None,
        "attributes": json_objects.problem(attributes) if attributes is not None else None,
    }
    if errors := [FieldError(field, problem) for field, problem in problems.items() if problem]:
        raise Invalid(errors)
