"""The queries behind lists of participants, in any order and at any size.

Standings have an index for each order, but are summed only up to an instant. So those with entries since then are read
from `participants`, and everybody else by their standings: together they are exact in one snapshot, however late the
summing is, and however long ago the instant was read (an earlier one only takes more from `participants`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    SmallInteger,
    Subquery,
    TextClause,
    and_,
    any_,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, aliased

from gamify.models import LedgerEntry, Participant, ParticipantDetails, ParticipantStanding, TierHold, TierStanding
from gamify.models.tier_hold import PIN

SHORTEST_FRAGMENT = 3  # characters that the index of fragments needs; fewer are looked for at the beginning of ids

P, S, D = Participant, ParticipantStanding, ParticipantDetails
COLUMNS: tuple[Any, ...] = (
    P.id,
    P.external_id,
    P.tier,
    P.balance,
    P.total_earned,
    P.total_spent,
    P.last_entry_at,
    P.created_at,
    P.erased_at,
    P.is_held,
)
# By what a list can be sorted, and the same among the standings.
ORDERS: dict[str, tuple[InstrumentedAttribute[Any], InstrumentedAttribute[Any] | None, type]] = {
    "id": (P.external_id, None, str),
    "balance": (P.balance, S.balance, int),
    "earned": (P.total_earned, S.total_earned, int),
    "active": (P.last_entry_at, S.last_entry_at, datetime),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom to list, and in which order; None and empty mean anybody. A minus before `sort` is for descending order."""

    fragment: str | None = None  # of their ids or names
    tiers: Sequence[int] = ()  # their numbers; 0: none
    active_since: datetime | None = None
    quiet_since: datetime | None = None
    is_pinned: bool = False  # whether only those whose tier is pinned
    sort: str = "-active"

    @property
    def order(self) -> str:
        """What they are sorted by."""
        return self.sort.lstrip("-")

    @property
    def has_standing(self) -> bool:
        """Whether standings have an index for this order."""
        return ORDERS[self.order][1] is not None

    @property
    def is_plain(self) -> bool:
        """Whether the indexes of the order asked for hold all that is asked about."""
        if self.has_standing:
            return not self.fragment
        return not ((self.fragment and not self.is_prefix) or self.tiers or self.active_since or self.quiet_since)

    @property
    def is_prefix(self) -> bool:
        """Whether the fragment is too short for the index of fragments, so stands for the beginning of ids alone."""
        return self.fragment is not None and len(self.fragment) < SHORTEST_FRAGMENT


def in_order(tenant_id: int, wanted: Wanted, after: tuple[Any, int] | None, *, summed_until: datetime, limit: int) -> Select[Any]:
    """Return a query that reads on in the order asked for, by its index.

    It finds those on the tiers and with the activity asked for, if standings have the order; else everybody.
    """
    if wanted.has_standing:
        parts = [_by_standing(tenant_id, wanted, after, summed_until, limit)]
        parts.append(_unsummed(tenant_id, wanted, after, summed_until, limit))
        return _merged(parts, wanted, limit)
    query = select(*COLUMNS).where(P.tenant_id == tenant_id, *_beyond(wanted, P.external_id, P.id, after))
    if wanted.is_prefix:
        query = query.where(func.starts_with(P.external_id, wanted.fragment))
    return query.order_by(*_sorted(wanted, P.external_id, P.id)).limit(limit)


def matching(tenant_id: int, near: Select[Any], wanted: Wanted, *, limit: int) -> Select[Any]:
    """Return those of a query who match, in its order, and then others; `seen` counts both, without the limit."""
    rows = near.subquery()
    is_match = and_(true(), *_conditions(tenant_id, wanted, rows.c)).label("is_match")
    query = select(rows, is_match, func.count().over().label("seen"))
    return query.order_by(is_match.desc(), *_sorted(wanted, *_keys(wanted, rows.c))).limit(limit)


def collected(
    tenant_id: int,
    wanted: Wanted,
    after: tuple[Any, int] | None,
    *,
    summed_until: datetime,
    numbers: list[int] | None,
    limit: int,
) -> Select[Any]:
    """Return a query that finds all who match by what singles them out most, and sorts them.

    `numbers` are those of all who have the fragment, if they are known.
    """
    parts = [everybody(tenant_id, wanted)]
    if numbers is not None:
        parts = [_numbered(tenant_id, wanted, numbers)]
    elif not (wanted.fragment or wanted.is_pinned):
        parts = [_summed(tenant_id, wanted, summed_until), _of_unsummed(tenant_id, wanted, summed_until)]
    # An offset keeps the planner from reading in order, looking for matches one by one.
    rows = union_all(*parts).subquery()
    fenced = select(rows).offset(0).subquery()
    keys = _keys(wanted, fenced.c)
    return select(fenced).where(*_beyond(wanted, *keys, after)).order_by(*_sorted(wanted, *keys)).limit(limit)


def with_fragment(tenant_id: int, fragment: str, *, most: int) -> TextClause:
    """Return a query for the numbers of those who have a fragment in their ids or names, `most` of them at most, as one array."""
    query = text("SELECT ARRAY(SELECT participants_like(:tenant_id, :pattern, :most))")
    return query.bindparams(tenant_id=tenant_id, pattern=_pattern(fragment), most=most)


def count_of_summed(tenant_id: int, wanted: Wanted, *, most: int) -> Select[Any]:
    """Return a query that counts those on the tiers and with the activity asked for, to `most`, by their standings."""
    query = select(S.participant_id).where(S.tenant_id == tenant_id, *_activity(wanted, S.last_entry_at))
    if wanted.tiers:
        query = query.where(S.tier.in_(wanted.tiers))
    return select(func.count()).select_from(query.limit(most).subquery())


def walked(tenant_id: int, wanted: Wanted, after: tuple[Any, int] | None, *, limit: int) -> Select[Any]:
    """Return a query that reads everybody's rows in order until enough match."""
    keys = _keys(wanted, P)
    return sorted_as(everybody(tenant_id, wanted).where(*_beyond(wanted, *keys, after)), wanted).limit(limit)


def everybody(tenant_id: int, wanted: Wanted) -> Select[Any]:
    """Return a query for all who match, straight from their rows, in no order."""
    query = select(*COLUMNS).where(P.tenant_id == tenant_id, *_conditions(tenant_id, wanted, P))
    if wanted.is_pinned:
        pinned = select(TierHold.participant_id).where(TierHold.tenant_id == tenant_id, TierHold.kind == PIN)
        query = query.where(P.id.in_(pinned))
    return query


def named(tenant_id: int, query: Select[Any]) -> Select[Any]:
    """Return a query for participants with the `display_name` of each."""
    whose = (D.tenant_id == tenant_id) & (D.participant_id == P.id)
    return query.add_columns(D.display_name).outerjoin(D, whose)


def sorted_as(query: Select[Any], wanted: Wanted) -> Select[Any]:
    """Return a query for participants in the order asked for."""
    return query.order_by(*_sorted(wanted, *_keys(wanted, P)))


def _by_standing(
    tenant_id: int, wanted: Wanted, after: tuple[Any, int] | None, summed_until: datetime, limit: int
) -> Select[Any]:
    """The first of each tier, by an index that begins with the tier."""
    tier = _each_tier(tenant_id, wanted)
    keys = (ORDERS[wanted.order][1], S.participant_id)
    rows = (
        select(*COLUMNS)
        .select_from(S)
        .join(P, (P.tenant_id == tenant_id) & (P.id == S.participant_id))
        .where(S.tenant_id == tenant_id, S.tier == tier.c.tier, *_activity(wanted, S.last_entry_at))
        .where(P.last_entry_at < summed_until, *_beyond(wanted, *keys, after))
        .order_by(*_sorted(wanted, *keys))
        .limit(limit)
        .lateral()
    )
    return select(rows).select_from(tier).join(rows, true())


def _each_tier(tenant_id: int, wanted: Wanted) -> FromClause:
    """The numbers of the tiers asked for, or of all on which somebody stands."""
    if wanted.tiers:
        return func.unnest(cast(list(wanted.tiers), ARRAY(SmallInteger))).table_valued("tier").render_derived()
    return select(TierStanding.tier).where(TierStanding.tenant_id == tenant_id).subquery()


def _unsummed(tenant_id: int, wanted: Wanted, after: tuple[Any, int] | None, summed_until: datetime, limit: int) -> Select[Any]:
    keys = _keys(wanted, P)
    query = _of_unsummed(tenant_id, wanted, summed_until).where(*_beyond(wanted, *keys, after))
    return select(query.order_by(*_sorted(wanted, *keys)).limit(limit).subquery())


def _numbered(tenant_id: int, wanted: Wanted, numbers: list[int]) -> Select[Any]:
    """Those of some, by their rows, who match whatever else is asked."""
    query = select(*COLUMNS).where(P.tenant_id == tenant_id, P.id == any_(cast(numbers, ARRAY(BigInteger))))
    query = query.where(*_activity(wanted, P.last_entry_at))
    return query.where(P.tier.in_(wanted.tiers)) if wanted.tiers else query


def _summed(tenant_id: int, wanted: Wanted, summed_until: datetime) -> Select[Any]:
    """Those without entries since the summing, by their standings."""
    query = select(*COLUMNS).select_from(S).join(P, (P.tenant_id == tenant_id) & (P.id == S.participant_id))
    query = query.where(S.tenant_id == tenant_id, *_activity(wanted, S.last_entry_at))
    query = query.where(P.last_entry_at < summed_until)
    return query.where(S.tier.in_(wanted.tiers)) if wanted.tiers else query


def _of_unsummed(tenant_id: int, wanted: Wanted, summed_until: datetime) -> Select[Any]:
    """Those with entries since the summing, by their rows."""
    since = func.first_entry_id(summed_until)
    ids = select(LedgerEntry.participant_id).where(LedgerEntry.tenant_id == tenant_id, LedgerEntry.id >= since)
    query = select(*COLUMNS).where(P.tenant_id == tenant_id, P.id.in_(ids), *_activity(wanted, P.last_entry_at))
    return query.where(P.tier.in_(wanted.tiers)) if wanted.tiers else query


def _merged(parts: Sequence[Select[Any]], wanted: Wanted, limit: int) -> Select[Any]:
    rows: Subquery = union_all(*parts).subquery()
    return select(rows).order_by(*_sorted(wanted, *_keys(wanted, rows.c))).limit(limit)


def _conditions(tenant_id: int, wanted: Wanted, of: Any) -> list[ColumnElement[bool]]:
    """All that is asked about, of whatever has the columns."""
    conditions = _activity(wanted, of.last_entry_at)
    if wanted.tiers:
        conditions.append(of.tier.in_(wanted.tiers))
    if wanted.fragment and wanted.is_prefix:
        conditions.append(func.starts_with(of.external_id, wanted.fragment))
    elif wanted.fragment:
        pattern = _pattern(wanted.fragment)
        other = aliased(D)  # the query may have names to show
        has_name = exists().where(other.tenant_id == tenant_id, other.participant_id == of.id, other.display_name.ilike(pattern))
        conditions.append(or_(of.external_id.ilike(pattern), has_name))
    return conditions


def _pattern(fragment: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", fragment)
    return f"%{escaped}%"


def _activity(wanted: Wanted, last_entry_at: Any) -> list[ColumnElement[bool]]:
    conditions = []
    if wanted.active_since:
        conditions.append(last_entry_at >= wanted.active_since)
    if wanted.quiet_since:
        conditions.append(last_entry_at < wanted.quiet_since)
    return conditions


def _keys(wanted: Wanted, of: Any) -> tuple[Any, Any]:
    return getattr(of, ORDERS[wanted.order][0].key), of.id


def _sorted(wanted: Wanted, key: Any, number: Any) -> list[Any]:
    return [key.desc(), number.desc()] if wanted.sort.startswith("-") else [key.asc(), number.asc()]


def _beyond(wanted: Wanted, key: Any, number: Any, after: tuple[Any, int] | None) -> list[ColumnElement[bool]]:
    if after is None:
        return []
    here, there = tuple_(key, number), tuple_(literal(after[0], key.type), literal(after[1], number.type))
    return [here < there if wanted.sort.startswith("-") else here > there]
