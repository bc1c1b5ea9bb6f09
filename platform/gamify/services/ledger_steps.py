"""The way through a ledger, newest first, in steps of bounded size: no request looks at more than it can in good time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import add
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, true
from sqlalchemy.orm import Session

from gamify.models import LedgerEntry, LedgerQuarter, RollupProgress
from gamify.services.entries import EPOCH, Filter, first_id, first_id_of, instant_of, internal_id
from gamify.services.measures import TYPES

QUARTER = timedelta(minutes=15)
QUARTERS_AT_ONCE = 100
FIRST_STEP = 1_000  # entries; each next one is four times as large, if this one was quick
QUICK = 0.05  # s


@dataclass(frozen=True, slots=True)
class Effort:
    """How much one request may look through, and in how large steps."""

    entries: int = 100_000
    seconds: float = 0.15
    step: int = 20_000


class Step(NamedTuple):
    """Entries in a row, told by `conditions`; `next_id`: the next ones, if there are any, are older than it."""

    conditions: list[ColumnElement[bool]]
    size: int  # entries, at most
    next_id: UUID | None


class _Span(NamedTuple):
    """Ids from the first to before the second; None: open. `size`: entries there, None: unknown."""

    first: UUID | None
    end: UUID | None
    size: int | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        first = LedgerEntry.id >= self.first if self.first else true()
        return and_(first, LedgerEntry.id < self.end if self.end else true())

    @property
    def is_empty(self) -> bool:
        return self.first is not None and self.end is not None and self.end <= self.first


def steps(session: Session, tenant_id: int, wanted: Filter, *, before: UUID | None, step: int) -> Iterator[Step]:
    """Yield steps of at most `step` entries through those that can match: of the filter's times, older than `before`.

    Quarters of an hour in which nothing of the type or key has happened are left out, as the rollups tell. Who asks for
    nothing else than times, or a participant, gets one step, for then every entry in it matches.
    """
    ends = [end for end in (before, first_id_of(wanted.until)) if end]
    whole = _Span(first_id_of(wanted.since), min(ends, default=None))
    if whole.is_empty:
        return
    for each in _ways(session, tenant_id, wanted, whole, step):
        is_last = each.next_id is None or (whole.first is not None and each.next_id <= whole.first)
        yield each._replace(next_id=None) if is_last else each
        if is_last:
            return


def _ways(session: Session, tenant_id: int, wanted: Filter, whole: _Span, step: int) -> Iterator[Step]:
    """Yield the steps of the quickest way there is; what they leave may lie before the span."""
    if wanted.participant_id is not None:
        yield from _of_participant(session, tenant_id, wanted, whole, step)
    elif wanted.type or wanted.api_key_id is not None or wanted.user_id is not None:
        yield from _of_busy_quarters(session, tenant_id, wanted, whole, step)
    elif wanted.is_sifting:
        yield from _of_span(session, tenant_id, whole, step)
    else:
        yield Step([LedgerEntry.tenant_id == tenant_id, whole.condition], 0, None)


class Spent:
    """What a request has looked through of the effort it may make."""

    def __init__(self, effort: Effort) -> None:
        self._effort, self._began, self._entries = effort, monotonic(), 0

    def is_all_after(self, step: Step) -> bool:
        """Whether one step more was the last that the request may take."""
        self._entries += step.size
        return self._entries >= self._effort.entries or monotonic() - self._began >= self._effort.seconds


def _sizes(step: int) -> Iterator[int]:
    """Yield sizes of steps that grow while whoever takes them is quick: entries may have to come from a disk."""
    size = FIRST_STEP
    while True:
        began = monotonic()
        yield min(step, size)
        if monotonic() - began < QUICK:
            size *= 4


def _of_span(session: Session, tenant_id: int, span: _Span, step: int, *, next_id: UUID | None = None) -> Iterator[Step]:
    """Go through a span by counting along the index on ids; what follows it, if anything does, begins at `next_id`."""
    for size in _sizes(step):
        of_rest = [LedgerEntry.tenant_id == tenant_id, span.condition]
        floor = session.scalar(select(LedgerEntry.id).where(*of_rest).order_by(LedgerEntry.id.desc()).offset(size).limit(1))
        if floor is None:
            yield Step(of_rest, size, next_id)
            return
        oldest = UUID(int=floor.int + 1)
        yield Step([LedgerEntry.tenant_id == tenant_id, span._replace(first=oldest).condition], size, oldest)
        span = span._replace(end=oldest)


def _of_participant(session: Session, tenant_id: int, wanted: Filter, whole: _Span, step: int) -> Iterator[Step]:
    """Go through a participant's entries by their numbers, which have no gaps."""
    owner = internal_id(session, tenant_id, wanted.participant_id or "")
    newest = last_before(session, tenant_id, owner, whole.end)[0]
    oldest = last_before(session, tenant_id, owner, whole.first)[0] if whole.first else 0
    is_all = not wanted.is_sifting and wanted.type is None and wanted.api_key_id is None and wanted.user_id is None
    for size in _sizes(step):
        if newest <= oldest:
            return
        floor = oldest if is_all else max(oldest, newest - size)
        of_step = [LedgerEntry.tenant_id == tenant_id, LedgerEntry.participant_id == owner]
        next_id = session.scalar(select(LedgerEntry.id).where(*of_step, LedgerEntry.seq == floor + 1)) if floor > oldest else None
        yield Step([*of_step, LedgerEntry.seq > floor, LedgerEntry.seq <= newest], newest - floor, next_id)
        newest = floor


def last_before(session: Session, tenant_id: int, owner: int, end: UUID | None) -> tuple[int, int, int, int]:
    """Number, balance, earned and spent of a participant's last entry older than `end`; zeros before the first."""
    columns = (LedgerEntry.seq, LedgerEntry.balance_after, LedgerEntry.total_earned_after, LedgerEntry.total_spent_after)
    query = select(*columns).where(LedgerEntry.tenant_id == tenant_id, LedgerEntry.participant_id == owner)
    if end is None:
        query = query.order_by(LedgerEntry.seq.desc())
    else:  # the time is what leads there; the id tells apart what is of the same microsecond
        query = query.where(LedgerEntry.created_at <= instant_of(end), LedgerEntry.id < end).order_by(
            LedgerEntry.created_at.desc()
        )
    seq, balance, earned, spent = session.execute(query.limit(1)).one_or_none() or (0, 0, 0, 0)
    return seq, balance, earned, spent


def _of_busy_quarters(session: Session, tenant_id: int, wanted: Filter, whole: _Span, step: int) -> Iterator[Step]:
    """Go through what is not summed yet, and then through the quarters in which there is something to find."""
    summed_until = session.scalar(select(RollupProgress.summed_until).where(RollupProgress.tenant_id == tenant_id))
    summed = first_id(summed_until or EPOCH)
    if whole.end is None or whole.end > summed:
        is_all = whole.first is not None and whole.first >= summed
        tail = whole if is_all else whole._replace(first=summed)
        yield from _of_span(session, tenant_id, tail, step, next_id=None if is_all else summed)
        if is_all:
            return
        whole = whole._replace(end=summed)
    while quarters := _busy_quarters(session, tenant_id, wanted, whole):
        yield from _through(session, tenant_id, list(quarters), step)
        whole = whole._replace(end=quarters[-1].first)


def _through(session: Session, tenant_id: int, quarters: list[_Span], step: int) -> Iterator[Step]:
    """Put quarters together into steps; one that is too large for a step is gone through by itself."""
    sizes = _sizes(step)
    while quarters:
        size, together = next(sizes), 0
        taken: list[_Span] = []
        while quarters and (together + (quarters[0].size or 0) <= size):
            taken.append(quarters.pop(0))
            together += taken[-1].size or 0
        if taken:
            conditions = [LedgerEntry.tenant_id == tenant_id, or_(*(span.condition for span in taken))]
            yield Step(conditions, together, taken[-1].first)
        elif size == step:
            span = quarters.pop(0)
            yield from _of_span(session, tenant_id, span, step, next_id=span.first)


def _busy_quarters(session: Session, tenant_id: int, wanted: Filter, whole: _Span) -> list[_Span]:
    """The newest quarters in which something of the type or key has happened, cut to the span, with their sizes."""
    of_tenant = LedgerQuarter.tenant_id == tenant_id
    is_asked: list[Any] = [of_tenant, _count([wanted.type] if wanted.type else TYPES) > 0]
    if whole.first:
        is_asked.append(LedgerQuarter.quarter > instant_of(whole.first) - QUARTER)
    if whole.end:
        is_asked.append(LedgerQuarter.quarter < instant_of(whole.end))
    if wanted.api_key_id is not None or wanted.user_id is not None:
        is_asked.append(LedgerQuarter.api_key_id == (wanted.api_key_id if wanted.user_id is None else 0))
    newest = select(LedgerQuarter.quarter).where(*is_asked).distinct().order_by(LedgerQuarter.quarter.desc())
    busy = newest.limit(QUARTERS_AT_ONCE).subquery()
    sized = select(LedgerQuarter.quarter, func.sum(_count(TYPES))).join(busy, busy.c.quarter == LedgerQuarter.quarter)
    rows = session.execute(sized.where(of_tenant).group_by(LedgerQuarter.quarter).order_by(LedgerQuarter.quarter.desc()))
    return [_cut(quarter, int(size), whole) for quarter, size in rows]


def _count(types: Iterable[str]) -> Any:
    """How many entries of the types a quarter has."""
    return reduce(add, (getattr(LedgerQuarter, f"{kind}_count") for kind in types))


def _cut(quarter: datetime, size: int, whole: _Span) -> _Span:
    first, end = first_id(quarter), first_id(quarter + QUARTER)
    return _Span(max(first, whole.first) if whole.first else first, min(end, whole.end) if whole.end else end, size)
