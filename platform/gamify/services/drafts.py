"""A ladder's draft: what admins change and look at before it comes into force.

A draft is kept as it is typed, so that nothing is lost: it may have what no ladder can have (see `problems`), and only a
clean one can be looked at or published. Nobody writes over what they have not seen: see `Draft.revision`.
"""

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gamify.errors import Conflict, DraftChanged, FieldError, Invalid, NotFound
from gamify.models import Ladder, LadderDraft, Tier
from gamify.models.tier import BASES, COLOURS
from gamify.services import audit, ladder, tiers
from gamify.services.audit import Actor
from gamify.services.bounds import text_problem
from gamify.services.tiers import CODE, HIGHEST_THRESHOLD, LONGEST_NAME, MOST_TIERS, Look, Qualification

LONGEST_TEXT = 200  # characters of a code or name that is still being typed
MOST_RUNGS = 50  # of a draft that is still to be sorted out
LONGEST_WINDOW, LONGEST_GRACE = 3_660, 366  # days
FIRST_REVISIONS = range(2**20, 2**30)  # more than there will be versions, and room to count up

LIFETIME, WINDOW, YEAR = BASES
LIFETIME_EARNED = Qualification()


class Rung(NamedTuple):
    """A tier as it is drafted: a code that has ever been in force stands for that tier for ever. A threshold may be missing."""

    code: str
    name: str
    threshold: int | None
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a draft says, in the order in which it was typed."""

    rungs: tuple[Rung, ...]
    qualification: Qualification = LIFETIME_EARNED

    @property
    def thresholds(self) -> dict[str, int]:
        """Thresholds by code, of a content without problems."""
        return {rung.code: rung.threshold or 0 for rung in self.rungs}

    @property
    def looks(self) -> dict[str, Look]:
        """Names and colours by code."""
        return {rung.code: Look(rung.name, rung.colour) for rung in self.rungs}


@dataclass(frozen=True, slots=True)
class Draft:
    """A tenant's one draft; where none is saved, the ladder in force.

    `revision` stands for what has been seen, and changes with everything that changes the draft; drafts of other times
    never have the same. Where none is saved it is the version in force.
    """

    revision: int
    based_on: int  # version of the ladder that was in force
    content: Content
    changed_by: str | None = None  # as the audit log calls them
    changed_at: datetime | None = None
    publish_at: datetime | None = None  # when it publishes itself
    publication: dict[str, Any] | None = None  # and how

    @property
    def is_saved(self) -> bool:
        """Whether there is a draft, rather than only the ladder in force."""
        return self.changed_at is not None


def of(session: Session, tenant_id: int) -> Draft:
    """Return the draft; where none is saved, the ladder in force."""
    stored = _stored(session, tenant_id)
    if stored:
        return _draft(stored)
    newest = ladder.newest(session, tenant_id)
    version = newest.version if newest else 0
    return Draft(version, version, content_of(newest, ladder.in_force(session, tenant_id)))


def save(
    session: Session, tenant_id: int, content: Content, *, revision: int, actor: Actor, based_on: int | None = None
) -> Draft:
    """Keep a draft; `revision` is the one that it was made from. What is there already is not saved again.

    `based_on`, given by whoever has seen that other tiers are in force since the draft was begun, must be their version.
    Raises `DraftChanged`, `Conflict` while it waits to publish itself, and `Invalid` for what cannot be kept.
    """
    check_form(content)
    tiers.one_change_at_a_time(session, tenant_id)
    now = of(session, tenant_id)
    if now.is_saved and now.content == content and based_on in (None, now.based_on):
        return now
    check_seen(now, revision)
    check_unscheduled(now)
    version = ladder.version(session, tenant_id)
    if based_on not in (None, version):
        raise Conflict(f"Version {version} of the tiers is in force by now; look at it first.")
    kept = based_on or (now.based_on if now.is_saved else version)
    return _keep(session, tenant_id, content, actor=actor, before=now, based_on=kept)


def discard(session: Session, tenant_id: int, *, actor: Actor, revision: int | None = None) -> None:
    """Forget the draft, if there is one.

    Raises `Conflict` while it waits to publish itself, and `DraftChanged` unless `revision` is its own.
    """
    tiers.one_change_at_a_time(session, tenant_id)
    stored = _stored(session, tenant_id)
    if stored is None:
        return
    if revision is not None:
        check_seen(_draft(stored), revision)
    check_unscheduled(_draft(stored))
    said = {"draft.revision": stored.revision} | _thresholds(_draft(stored).content)
    session.delete(stored)
    audit.record(session, tenant_id, actor, action="tiers.discard", subject="draft", before=said)


def restore(session: Session, tenant_id: int, version: int, *, actor: Actor, revision: int | None = None) -> Draft:
    """Make a former version of the ladder the draft, in the place of the one there is.

    Raises `NotFound`, `Conflict` while that waits to publish itself, and `DraftChanged` unless `revision` is its own.
    """
    former = session.get(Ladder, (tenant_id, version)) if version < FIRST_REVISIONS.stop else None
    if former is None:
        raise NotFound(f"There is no version {version} of the tiers.")
    tiers.one_change_at_a_time(session, tenant_id)
    now = of(session, tenant_id)
    if revision is not None:
        check_seen(now, revision)
    check_unscheduled(now)
    rungs = select(Tier).where(Tier.tenant_id == tenant_id, Tier.ladder_version == version).order_by(Tier.level)
    content = content_of(former, session.scalars(rungs).all())
    in_force = ladder.version(session, tenant_id)
    return _keep(session, tenant_id, content, actor=actor, before=now, based_on=in_force, restored=version)


def content_of(of_ladder: Ladder | None, rungs: Sequence[Tier]) -> Content:
    """Return a version of the ladder as a draft says it."""
    if of_ladder is None:
        return Content(())
    qualification = Qualification(of_ladder.basis, of_ladder.window_days, of_ladder.grace_days)
    return Content(tuple(Rung(tier.code, tier.name, tier.threshold, tier.colour) for tier in rungs), qualification)


def problems(content: Content) -> list[FieldError]:
    """Return what stands in the way of publishing, by field: `tiers.0.code` is the code of the first rung."""
    return [*_form_problems(content), *_rung_problems(content.rungs), *_qualification_problems(content.qualification)]


def check(content: Content) -> None:
    """Raise `Invalid` with every problem there is."""
    if found := problems(content):
        raise Invalid(found)


def check_form(content: Content) -> None:
    """Raise `Invalid` for what cannot even be kept."""
    if found := list(_form_problems(content)):
        raise Invalid(found)


def check_seen(now: Draft, revision: int) -> None:
    """Raise `DraftChanged` unless `revision` is that of the draft as it is."""
    if revision == now.revision:
        return
    if now.is_saved:
        raise DraftChanged(f"{now.changed_by} has changed the draft since you opened it.", theirs=now)
    raise DraftChanged(f"The draft was published or discarded; version {now.based_on} is in force.", theirs=now)


def check_unscheduled(now: Draft) -> None:
    """Raise `Conflict` while the draft waits to publish itself."""
    if now.publish_at:
        raise Conflict(f"The draft is to be published at {now.publish_at:%Y-%m-%d %H:%M} UTC; cancel that to change it.")


def remove(session: Session, tenant_id: int) -> None:
    """Let go of the draft, which has become the ladder in force."""
    session.delete(session.get_one(LadderDraft, tenant_id))
    session.flush()


def schedule(session: Session, tenant_id: int, *, at: datetime | None, publication: dict[str, Any] | None) -> Draft:
    """Let the draft wait to publish itself; without a time it waits no longer."""
    stored = session.get_one(LadderDraft, tenant_id)
    stored.publish_at, stored.publication = at, publication
    return _draft(stored)


def _keep(
    session: Session,
    tenant_id: int,
    content: Content,
    *,
    actor: Actor,
    before: Draft,
    based_on: int,
    restored: int | None = None,
) -> Draft:
    stored = _stored(session, tenant_id) or LadderDraft(tenant_id=tenant_id, revision=secrets.choice(FIRST_REVISIONS))
    stored.revision += 1
    stored.based_on, stored.content, stored.changed_by = based_on, _written(content), actor.name
    stored.changed_at = session.scalars(select(func.clock_timestamp())).one()
    session.add(stored)
    session.flush()
    # Drafts are kept while people type: the log tells who begins or takes over; what becomes of it, the publication does.
    said = {"before": _thresholds(before.content), "after": _thresholds(content)}
    if restored is not None:
        said["after"]["ladder.version"] = restored
        audit.record(session, tenant_id, actor, action="tiers.restore", subject="draft", **said)
    elif before.changed_by != actor.name:
        audit.record(session, tenant_id, actor, action="tiers.draft", subject="draft", **said)
    return _draft(stored)


def _thresholds(content: Content) -> dict[str, Any]:
    return {rung.code: rung.threshold for rung in content.rungs}


def _stored(session: Session, tenant_id: int) -> LadderDraft | None:
    wanted = select(LadderDraft).where(LadderDraft.tenant_id == tenant_id)
    return session.scalar(wanted.execution_options(populate_existing=True))


def _draft(stored: LadderDraft) -> Draft:
    said = (stored.changed_by, stored.changed_at, stored.publish_at, stored.publication)
    return Draft(stored.revision, stored.based_on, _read(stored.content), *said)


def _written(content: Content) -> dict[str, Any]:
    return {"tiers": [rung._asdict() for rung in content.rungs], "qualification": content.qualification._asdict()}


def _read(written: dict[str, Any]) -> Content:
    rungs = tuple(Rung(**rung) for rung in written.get("tiers", []))
    return Content(rungs, Qualification(**written.get("qualification", {})))


def _form_problems(content: Content) -> Iterator[FieldError]:
    """What the database could not keep, or nobody could mean."""
    if len(content.rungs) > MOST_RUNGS:
        yield FieldError("tiers", f"There can be at most {MOST_TIERS} tiers.")
    for n, rung in enumerate(content.rungs):
        for field, value in (("code", rung.code), ("name", rung.name), ("colour", rung.colour or "")):
            if problem := text_problem(value):
                yield FieldError(f"tiers.{n}.{field}", problem)
            elif len(value) > LONGEST_TEXT:
                yield FieldError(f"tiers.{n}.{field}", f"Must have at most {LONGEST_TEXT} characters.")
        if rung.threshold is not None and not 0 <= rung.threshold <= HIGHEST_THRESHOLD:
            yield FieldError(f"tiers.{n}.threshold", f"A threshold is a whole number from 0 to {HIGHEST_THRESHOLD}.")
    for field in ("window_days", "grace_days"):
        days = getattr(content.qualification, field)
        if days is not None and not 0 <= days <= 10 * LONGEST_WINDOW:
            yield FieldError(f"qualification.{field}", "Must be a number of days.")


def _rung_problems(rungs: Sequence[Rung]) -> Iterator[FieldError]:
    if len(rungs) > MOST_TIERS:
        yield FieldError("tiers", f"There can be at most {MOST_TIERS} tiers.")
    codes, thresholds = Counter(rung.code for rung in rungs), Counter(rung.threshold for rung in rungs)
    for n, rung in enumerate(rungs):
        if not CODE.fullmatch(rung.code):
            yield FieldError(f"tiers.{n}.code", "A code is 1 to 50 lower-case letters, digits, _ and -.")
        elif codes[rung.code] > 1:
            yield FieldError(f"tiers.{n}.code", f"Two tiers cannot have the code {rung.code}.")
        if not rung.name.strip() or len(rung.name) > LONGEST_NAME:
            yield FieldError(f"tiers.{n}.name", f"A name is 1 to {LONGEST_NAME} characters.")
        if rung.threshold is None:
            yield FieldError(f"tiers.{n}.threshold", "A threshold is a whole number of points, such as 500.")
        elif thresholds[rung.threshold] > 1:
            yield FieldError(f"tiers.{n}.threshold", f"Two tiers cannot both begin at {rung.threshold:,} points.")
        if rung.colour not in (None, *COLOURS):
            yield FieldError(f"tiers.{n}.colour", f"A colour is one of {', '.join(COLOURS)}.")


def _qualification_problems(asked: Qualification) -> Iterator[FieldError]:
    if asked.basis not in BASES:
        yield FieldError("qualification.basis", f"Must be one of {', '.join(BASES)}.")
    if asked.basis == WINDOW and not (asked.window_days and 1 <= asked.window_days <= LONGEST_WINDOW):
        yield FieldError("qualification.window_days", f"Must be from 1 to {LONGEST_WINDOW} days.")
    if asked.basis == YEAR and not (asked.grace_days is not None and 0 <= asked.grace_days <= LONGEST_GRACE):
        yield FieldError("qualification.grace_days", f"Must be from 0 to {LONGEST_GRACE} days.")
    if asked.basis != WINDOW and asked.window_days is not None:
        yield FieldError("qualification.window_days", "Is only for points of a window.")
    if asked.basis != YEAR and asked.grace_days is not None:
        yield FieldError("qualification.grace_days", "Is only for points of a year.")
