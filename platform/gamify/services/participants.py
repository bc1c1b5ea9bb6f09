"""Participants as a list: searched, filtered and sorted, a page at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from gamify.errors import FieldError, Invalid
from gamify.models import RollupProgress
from gamify.services import cursor, listing
from gamify.services.bounds import text_problem
from gamify.services.cursor import Cursor
from gamify.services.listing import ORDERS, Wanted

AT_ONCE = 1_000  # rows a fetch, when all are wanted
NEAR, FAR = 200, 5_000  # rows to look through in the order asked for, before all who match are collected instead
FEW = 25_000  # rows that are quickly collected and sorted
NEVER = datetime.fromtimestamp(0, UTC)  # when those have moved who are registered and have no entries
FIRST = NEVER + timedelta(microseconds=1)  # when entries begin, before any are summed
PINNED = "pinned"
SORTS = tuple(f"{sign}{order}" for order in ORDERS for sign in ("", "-"))
ACTIVITIES = {
    **{f"active-{days}": timedelta(days) for days in (7, 30, 90)},
    **{f"quiet-{days}": timedelta(days) for days in (30, 90, 180)},
}


class Found(NamedTuple):
    """A page of participants; `cursor` is where the next one begins, None at the end."""

    rows: Sequence[Any]  # with `listing.COLUMNS`
    cursor: str | None


def wanted(*, fragment: str, tiers: Sequence[int], activity: str, sort: str, now: datetime, held: str = "") -> Wanted:
    """Return what texts of a form ask for; empty ones ask for nothing. Raises `Invalid`."""
    errors = []
    if problem := text_problem(fragment):
        errors.append(FieldError("q", problem))
    if activity and activity not in ACTIVITIES:
        errors.append(FieldError("activity", f"Choose one of {', '.join(ACTIVITIES)}."))
    if sort and sort not in SORTS:
        errors.append(FieldError("sort", f"Choose one of {', '.join(SORTS)}."))
    if held and held != PINNED:
        errors.append(FieldError("held", f"There is nothing to choose but {PINNED}."))
    if errors:
        raise Invalid(errors)
    since = now - ACTIVITIES[activity] if activity else None
    is_active = activity.startswith("active")
    return Wanted(
        fragment=fragment or None,
        tiers=tuple(tiers),
        active_since=since if is_active else None,
        quiet_since=None if is_active else since,
        is_pinned=held == PINNED,
        sort=sort or "-active",
    )


def search(session: Session, tenant_id: int, wanted: Wanted, *, after: str | None = None, limit: int) -> Found:
    """Return up to `limit` participants from where the cursor `after` says. Raises `Invalid` for a cursor that is none."""
    begin = cursor.read(after, ORDERS[wanted.order][2]) if after else None
    # A plan that suits any value would not suit the rare one.
    session.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
    until = session.scalar(select(RollupProgress.summed_until).where(RollupProgress.tenant_id == tenant_id))
    rows = _Question(session, tenant_id, wanted, begin, max(until or FIRST, FIRST), limit + 1).answer()
    if len(rows) <= limit:
        return Found(rows, None)
    last = rows[limit - 1]
    return Found(rows[:limit], Cursor(getattr(last, ORDERS[wanted.order][0].key), last.id).write())


def every(session: Session, tenant_id: int, wanted: Wanted) -> Iterator[Any]:
    """Yield all who match with their `display_name`, in the order asked for, without holding them all."""
    query = listing.sorted_as(listing.named(tenant_id, listing.everybody(tenant_id, wanted)), wanted)
    with session.execute(query.execution_options(yield_per=AT_ONCE)) as rows:
        yield from rows


@dataclass(frozen=True, slots=True)
class _Question:
    """Up to `limit` rows after `begin`, as wanted."""

    session: Session
    tenant_id: int
    wanted: Wanted
    begin: Cursor | None
    summed_until: datetime
    limit: int

    def answer(self) -> Sequence[Any]:
        """Read in the order asked for where its index can tell who matches, or where many do.

        Those who match are collected and sorted if they are few, or if they do not come in a long way.
        """
        if self.wanted.is_pinned:
            return self._collected(None)  # they are few
        if self.wanted.is_plain:
            return self.session.execute(self._in_order(self.limit)).all()
        found = self._within(NEAR)
        if found is not None:
            return found
        numbers = self._numbers()
        if numbers is not None or self._are_few():
            return self._collected(numbers)
        found = self._within(FAR)
        if found is not None:
            return found
        # By standing, all would have to be looked up elsewhere; by id, reading on is no dearer than reading all.
        return self._collected(None) if self.wanted.has_standing else self._walked()

    def _within(self, reach: int) -> Sequence[Any] | None:
        """Those who match among the next `reach` in order; None if that leaves the question open."""
        rows = self.session.execute(listing.matching(self.tenant_id, self._in_order(reach), self.wanted, limit=self.limit)).all()
        found = [row for row in rows if row.is_match]
        is_settled = len(found) == self.limit or not rows or rows[0].seen < reach
        return found if is_settled else None

    def _numbers(self) -> list[int] | None:
        """The numbers of those whose ids or names have the fragment, if that is asked for and they are few."""
        if not self.wanted.fragment or self.wanted.is_prefix:
            return None
        query = listing.with_fragment(self.tenant_id, self.wanted.fragment, most=FEW + 1)
        found: list[int] = self.session.scalar(query) or []
        return found if len(found) <= FEW else None

    def _are_few(self) -> bool:
        """Whether those on the tiers and with the activity asked for are few, by their standings."""
        if self.wanted.fragment:
            return False
        count = self.session.scalar(listing.count_of_summed(self.tenant_id, self.wanted, most=FEW + 1))
        return (count or 0) <= FEW

    def _in_order(self, limit: int) -> Select[Any]:
        return listing.in_order(self.tenant_id, self.wanted, self.begin, summed_until=self.summed_until, limit=limit)

    def _collected(self, numbers: list[int] | None) -> Sequence[Any]:
        until, limit = self.summed_until, self.limit
        query = listing.collected(self.tenant_id, self.wanted, self.begin, summed_until=until, numbers=numbers, limit=limit)
        return self.session.execute(query).all()

    def _walked(self) -> Sequence[Any]:
        query = listing.walked(self.tenant_id, self.wanted, self.begin, limit=self.limit)
        return self.session.execute(query).all()
