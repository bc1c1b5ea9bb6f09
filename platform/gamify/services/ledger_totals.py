"""What a filtered part of the ledger adds up to: opening + net = closing, to the point."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session

from gamify.models import LedgerEntry
from gamify.services import figures
from gamify.services.entries import EPOCH, Filter, conditions, first_id, first_id_of, instant_of, internal_id
from gamify.services.ledger_steps import Effort, Spent, last_before, steps
from gamify.services.quarters import END


class Totals(NamedTuple):
    """Points of a period, all positive, and in `opening` what all matching entries before it come to."""

    opening: int = 0
    awarded: int = 0
    reversed: int = 0
    deducted: int = 0
    given_back: int = 0
    entry_count: int = 0  # of the period

    @property
    def net(self) -> int:
        """What the period has added."""
        return self.awarded - self.reversed - self.deducted + self.given_back

    @property
    def closing(self) -> int:
        """What there is at its end."""
        return self.opening + self.net


PART_OF_TYPE = {"award": "awarded", "award_reversal": "reversed", "deduct": "deducted", "deduct_reversal": "given_back"}


class Progress(NamedTuple):
    """How far the entries of a filter are added up: all that match from `next_id` on; None when nothing is left.

    The newest entry is settled when adding begins, so however long it takes, the sum is of one moment.
    """

    totals: Totals
    next_id: UUID | None = None
    newest: datetime | None = None
    oldest: datetime | None = None

    @property
    def share(self) -> float:
        """The share of the time range that is done."""
        if self.next_id is None or self.newest is None or self.oldest is None or self.newest <= self.oldest:
            return float(self.next_id is None)
        return min(1, max(0, (self.newest - instant_of(self.next_id)) / (self.newest - self.oldest)))

    def is_period_done(self, wanted: Filter) -> bool:
        """Whether only the opening is still incomplete."""
        if self.next_id is None:
            return True
        return wanted.since is not None and self.next_id <= first_id(wanted.since)


def begin(session: Session, tenant_id: int, wanted: Filter) -> Progress:
    """Return the totals, if they are known at once; else where adding them up begins. On one snapshot, please."""
    if not wanted.is_sifting and wanted.participant_id is None and wanted.user_id is None:
        return Progress(_of_everybody(session, tenant_id, wanted))
    if wanted == Filter(participant_id=wanted.participant_id, since=wanted.since, until=wanted.until):
        return Progress(_of_participant(session, tenant_id, wanted))
    return _start(session, tenant_id, wanted)


def advance(session: Session, tenant_id: int, wanted: Filter, done: Progress, *, effort: Effort | None = None) -> Progress:
    """Add up some more."""
    effort = effort or Effort()
    if done.next_id is None:
        return done
    totals, spent = done.totals, Spent(effort)
    for step in steps(session, tenant_id, replace(wanted, since=None), before=done.next_id, step=effort.step):
        within = LedgerEntry.id >= first_id(wanted.since) if wanted.since else literal(value=True)
        columns = (LedgerEntry.type, within.label("is_within"), func.sum(LedgerEntry.points), func.count())
        query = select(*columns).where(*step.conditions, *conditions(wanted)).group_by(LedgerEntry.type, "is_within")
        totals = _plus(totals, session.execute(query))
        if (next_id := step.next_id) and spent.is_all_after(step):
            return done._replace(totals=totals, next_id=next_id)
    return done._replace(totals=totals, next_id=None)


def _plus(totals: Totals, rows: Iterable[Any]) -> Totals:
    values = totals._asdict()
    for kind, is_within, points, count in rows:
        if is_within:
            values[PART_OF_TYPE[kind]] += abs(int(points))
            values["entry_count"] += count
        else:
            values["opening"] += int(points)
    return Totals(**values)


def _start(session: Session, tenant_id: int, wanted: Filter) -> Progress:
    of_whom = [LedgerEntry.tenant_id == tenant_id]
    order: Any = LedgerEntry.id
    if wanted.participant_id is not None:
        of_whom += [LedgerEntry.participant_id == internal_id(session, tenant_id, wanted.participant_id)]
        order = LedgerEntry.seq
    first, last = (
        session.scalar(select(LedgerEntry.id).where(*of_whom).order_by(way).limit(1)) for way in (order.asc(), order.desc())
    )
    if first is None or last is None:
        return Progress(Totals())
    end = UUID(int=last.int + 1)
    if wanted.until:
        end = min(end, first_id(wanted.until))
    return Progress(Totals(), end, instant_of(end), instant_of(first))


def _of_everybody(session: Session, tenant_id: int, wanted: Filter) -> Totals:
    """From the rollups."""
    edges = [EPOCH, wanted.since or EPOCH, wanted.until or END]
    before, during = figures.between(session, tenant_id, edges, api_key_id=wanted.api_key_id)
    kinds = PART_OF_TYPE if wanted.type is None else {wanted.type: PART_OF_TYPE[wanted.type]}
    opening, period = (
        Totals(**{part: getattr(sums, f"{kind}_points") for kind, part in kinds.items()}) for sums in (before, during)
    )
    count = sum(getattr(during, f"{kind}_count") for kind in kinds)
    return period._replace(opening=opening.net, entry_count=count)


def _of_participant(session: Session, tenant_id: int, wanted: Filter) -> Totals:
    """From what the entries at both ends say, and the reversals between them."""
    owner = internal_id(session, tenant_id, wanted.participant_id or "")
    since, until = first_id_of(wanted.since), first_id_of(wanted.until)
    before = last_before(session, tenant_id, owner, since) if since else (0, 0, 0, 0)
    count, _, earned, spent = (b - a for a, b in zip(before, last_before(session, tenant_id, owner, until), strict=True))
    of_them = [LedgerEntry.tenant_id == tenant_id, LedgerEntry.participant_id == owner, LedgerEntry.reverses.is_not(None)]
    of_them += [LedgerEntry.created_at >= wanted.since] if wanted.since else []
    of_them += [LedgerEntry.created_at < wanted.until] if wanted.until else []
    rows = session.execute(
        select(LedgerEntry.type, func.sum(func.abs(LedgerEntry.points))).where(*of_them).group_by(LedgerEntry.type)
    )
    back = {kind: int(points) for kind, points in rows}
    taken, given = back.get("award_reversal", 0), back.get("deduct_reversal", 0)
    return Totals(before[1], earned + taken, taken, spent + given, given, count)
