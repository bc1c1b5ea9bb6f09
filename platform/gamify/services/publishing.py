"""Publishing: a draft becomes the ladder in force, at once or at a set time; and the versions that there have been."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from gamify import queue
from gamify.db import Database
from gamify.errors import Conflict, DomainError, FieldError, Invalid, Unavailable
from gamify.models import Ladder, Recalculation, Tier
from gamify.models.tier import EFFECTS, FALLING
from gamify.services import audit, drafts, ladder, recalculations, tiers
from gamify.services.audit import SYSTEM, Actor
from gamify.services.bounds import LONGEST_REASON, text_problem
from gamify.services.drafts import Content, Draft, Rung
from gamify.services.tiers import Policy

FEW = 5_000  # participants who are put in place at once
KEEP_UNTIL = "keep_until"


class Difference(NamedTuple):
    """What has become of one tier; None for what is not there. `fields` are those of a rung that differ."""

    code: str
    before: Rung | None
    after: Rung | None
    fields: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Whether it was added, removed or changed."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"


class Version(NamedTuple):
    """A ladder that is or was in force, and what it has changed of the one before."""

    ladder: Ladder
    tiers: Sequence[Tier]  # the lowest first
    changes: Sequence[Difference]
    before: Ladder | None


def publish(
    session: Session,
    tenant_id: int,
    *,
    revision: int,
    policy: Policy,
    reason: str | None,
    actor: Actor,
    at: datetime | None = None,
    now: datetime | None = None,
) -> Ladder | None:
    """Put the draft in force and return the ladder; with a time, keep it for then and return None.

    Whom that moves is moved by `finish_soon` and the job, or by each one's next award. Raises `DraftChanged` if `revision`
    is not the draft's any more, `Conflict` while another change goes on, and `Invalid`.
    """
    check(policy, reason, at=at, now=now or datetime.now(UTC))
    tiers.one_change_at_a_time(session, tenant_id)
    draft = drafts.of(session, tenant_id)
    drafts.check_seen(draft, revision)
    _check_publishable(session, tenant_id, draft)
    reason = (reason or "").strip() or None
    if at is not None:
        publication = {"policy": _written(policy), "reason": reason, "actor": [actor.kind, actor.name, actor.id]}
        drafts.schedule(session, tenant_id, at=at, publication=publication)
        said = {"revision": revision, "publish_at": at.isoformat(), "reason": reason} | _written(policy)
        audit.record(session, tenant_id, actor, action="tiers.schedule", subject="draft", after=said)
        return None
    _check_nothing_goes_on(session, tenant_id)
    return _put(session, tenant_id, draft, policy=policy, reason=reason, actor=actor)


def cancel(session: Session, tenant_id: int, *, actor: Actor, revision: int | None = None) -> Draft:
    """Let the draft wait to publish itself no longer.

    Raises `Conflict` if it does not wait, and `DraftChanged` unless `revision` is its own.
    """
    tiers.one_change_at_a_time(session, tenant_id)
    draft = drafts.of(session, tenant_id)
    if revision is not None:
        drafts.check_seen(draft, revision)
    if draft.publish_at is None:
        raise Conflict("The draft does not wait to be published: it was published already, or never meant to be.")
    said = {"revision": draft.revision, "publish_at": draft.publish_at.isoformat()}
    audit.record(session, tenant_id, actor, action="tiers.cancel", subject="draft", before=said)
    return drafts.schedule(session, tenant_id, at=None, publication=None)


def publish_due(database: Database, tenant_id: int, *, now: datetime) -> Ladder | None:
    """Publish the draft whose time has come; return the ladder, or None if there was nothing to do.

    While a recalculation goes on it waits. What cannot be published any more is not tried again: the log says why.
    """
    with database.transaction(tenant_id) as session:
        draft = drafts.of(session, tenant_id)
        if draft.publish_at is None or draft.publish_at > now or recalculations.going_on(session, tenant_id):
            return None
    try:
        with database.transaction(tenant_id) as session:
            return _publish_scheduled(session, tenant_id, now=now)
    except (Conflict, Invalid) as error:
        _give_up(database, tenant_id, error, now=now)
    return None


def finish_soon(database: Database, tenant_id: int) -> bool:
    """Put few participants in place at once, after the transaction of a publication; return whether all are.

    Of many, the job does it, as it does whatever this leaves.
    """
    with suppress(Unavailable):  # the publication has been committed, whatever happens now
        with database.transaction(tenant_id) as session:
            found = recalculations.going_on(session, tenant_id)
        if found is None or found.total_count > FEW:
            return found is None
        for _ in range(1 + FEW // recalculations.AT_ONCE):
            if not recalculations.advance(database, tenant_id):
                return True
    return False


def versions(session: Session, tenant_id: int, *, before: int | None = None, limit: int) -> list[Version]:
    """Return up to `limit` versions older than `before`, newest first."""
    query = select(Ladder).where(Ladder.tenant_id == tenant_id).order_by(Ladder.version.desc())
    if before is not None:
        query = query.where(Ladder.version < before)
    ladders = session.scalars(query.limit(limit + 1)).all()  # and the one that the last is compared with
    rungs = _tiers_of(session, tenant_id, [each.version for each in ladders])
    found = []
    for each, older in zip(ladders[:limit], [*ladders[1:], None], strict=False):
        was = _rungs(rungs.get(older.version, [])) if older else ()
        mine = rungs.get(each.version, [])
        found.append(Version(each, mine, difference(was, _rungs(mine)), older))
    return found


def difference(old: Sequence[Rung], new: Sequence[Rung]) -> list[Difference]:
    """Return what differs between two ladders, tier by tier: those of the new one, the lowest first, then those that went."""
    was, now = ({rung.code: rung for rung in rungs} for rungs in (old, new))
    found = []
    for rung in sorted(new, key=lambda rung: rung.threshold or 0):
        before = was.get(rung.code)
        fields = tuple(name for name in Rung._fields if before and getattr(before, name) != getattr(rung, name))
        if before is None or fields:
            found.append(Difference(rung.code, before, rung, fields))
    return found + [Difference(code, rung, None) for code, rung in was.items() if code not in now]


def check(policy: Policy, reason: str | None, *, at: datetime | None, now: datetime) -> None:
    """Raise `Invalid` for what no publication can be."""
    until = policy.kept_until
    problems = {
        "effect": None if policy.effect in EFFECTS else f"Must be one of {', '.join(EFFECTS)}.",
        "falling": None if policy.falling in FALLING else f"Must be one of {', '.join(FALLING)}.",
        "kept_until": _until_problem(policy, after=at or now),
        "reason": reason and (text_problem(reason) or (_too_long() if len(reason.strip()) > LONGEST_REASON else None)),
        "at": "Must be in the future." if at and at <= now else None,
    }
    if policy.falling != KEEP_UNTIL and until is not None:
        problems["kept_until"] = f"Is only for the policy {KEEP_UNTIL}."
    if found := [FieldError(name, problem) for name, problem in problems.items() if problem]:
        raise Invalid(found)


def _until_problem(policy: Policy, *, after: datetime) -> str | None:
    if policy.falling != KEEP_UNTIL:
        return None
    if policy.kept_until is None:
        return "Say until when tiers are kept."
    return "Must be later than the publication." if policy.kept_until <= after else None


def _too_long() -> str:
    return f"Must have at most {LONGEST_REASON} characters."


def _check_publishable(session: Session, tenant_id: int, draft: Draft) -> None:
    drafts.check_unscheduled(draft)
    if not draft.is_saved:
        raise Conflict("There is no draft: change the tiers first.")
    drafts.check(draft.content)
    version = ladder.version(session, tenant_id)
    if draft.based_on != version:
        raise Conflict(
            f"The draft was made from version {draft.based_on} of the tiers, and version {version} is in force by now. "
            f"Look at what has changed, and save the draft as based on version {version}."
        )


def _check_nothing_goes_on(session: Session, tenant_id: int) -> None:
    if found := recalculations.going_on(session, tenant_id):
        raise Conflict(f"Nothing can be published while everybody is looked at: {progress(found)} so far. Try again then.")


def progress(of: Recalculation) -> str:
    """Say how far a recalculation has come."""
    return f"{of.done_count:,} of {max(of.total_count, of.done_count):,} participants"


def _put(session: Session, tenant_id: int, draft: Draft, *, policy: Policy, reason: str | None, actor: Actor) -> Ladder:
    content = draft.content
    made = tiers.put(
        session,
        tenant_id,
        content.thresholds,
        content.looks,
        policy=policy,
        actor=actor,
        qualification=content.qualification,
        reason=reason,
        based_on=draft.based_on,
        action="tiers.publish",
        told=_told(session, tenant_id, draft, policy=policy, reason=reason),
    )
    drafts.remove(session, tenant_id)
    if policy.effect == "now":
        recalculations.begin(session, tenant_id)
        queue.defer(session, "recalculate", tenant_id=tenant_id)
    tiers.shut(session, tenant_id)
    return made


def _told(
    session: Session, tenant_id: int, draft: Draft, *, policy: Policy, reason: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the log says of before and after, beside thresholds; no code has a dot in it."""
    old = drafts.content_of(ladder.newest(session, tenant_id), ladder.in_force(session, tenant_id))
    before: dict[str, Any] = {"ladder.version": draft.based_on, "ladder.qualification": _days(old)}
    after = {"ladder.version": draft.based_on + 1, "ladder.qualification": _days(draft.content), "ladder.reason": reason}
    for each in difference(old.rungs, draft.content.rungs):
        for name in ("name", "colour"):
            if name in each.fields:
                before[f"{each.code}.{name}"] = getattr(each.before, name)
                after[f"{each.code}.{name}"] = getattr(each.after, name)
    return before, after | {f"ladder.{name}": value for name, value in _written(policy).items()}


def _days(content: Content) -> str:
    return " ".join(str(said) for said in content.qualification if said is not None)


def _publish_scheduled(session: Session, tenant_id: int, *, now: datetime) -> Ladder | None:
    tiers.one_change_at_a_time(session, tenant_id)
    draft = drafts.of(session, tenant_id)
    if draft.publish_at is None or draft.publish_at > now or draft.publication is None:
        return None  # somebody else was quicker
    said = draft.publication
    drafts.schedule(session, tenant_id, at=None, publication=None)
    draft = drafts.of(session, tenant_id)
    _check_publishable(session, tenant_id, draft)
    _check_nothing_goes_on(session, tenant_id)
    return _put(session, tenant_id, draft, policy=_read(said["policy"]), reason=said["reason"], actor=Actor(*said["actor"]))


def _give_up(database: Database, tenant_id: int, why: DomainError, *, now: datetime) -> None:
    with database.transaction(tenant_id) as session:
        tiers.one_change_at_a_time(session, tenant_id)
        draft = drafts.of(session, tenant_id)
        if draft.publish_at is None or draft.publish_at > now or recalculations.going_on(session, tenant_id):
            return
        drafts.schedule(session, tenant_id, at=None, publication=None)
        said = {"before": {"publish_at": draft.publish_at.isoformat()}, "after": {"why": str(why)}}
        audit.record(session, tenant_id, SYSTEM, action="tiers.cancel", subject="draft", **said)


def _written(policy: Policy) -> dict[str, Any]:
    return policy._asdict() | {"kept_until": policy.kept_until.isoformat() if policy.kept_until else None}


def _read(policy: Mapping[str, Any]) -> Policy:
    until = policy["kept_until"]
    return Policy(policy["effect"], policy["falling"], datetime.fromisoformat(until) if until else None)


def _tiers_of(session: Session, tenant_id: int, numbers: Sequence[int]) -> dict[int, list[Tier]]:
    found: dict[int, list[Tier]] = {}
    query = select(Tier).where(Tier.tenant_id == tenant_id, Tier.ladder_version.in_(numbers)).order_by(Tier.level)
    for tier in session.scalars(query):
        found.setdefault(tier.ladder_version, []).append(tier)
    return found


def _rungs(found: Sequence[Tier]) -> tuple[Rung, ...]:
    return tuple(Rung(tier.code, tier.name, tier.threshold, tier.colour) for tier in found)
