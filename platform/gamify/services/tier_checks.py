"""Which tiers follow from more than a total, and whether they do: for `verification`, on one snapshot."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, text, true, union
from sqlalchemy.orm import Session, load_only

from gamify.models import Ladder, LedgerEntry, Participant, TierChange, TierHold
from gamify.services import ladder
from gamify.services.tier_replay import Holder, Row

AT_ONCE = 2_000  # entries a fetch
C, E, H, P = TierChange, LedgerEntry, TierHold, Participant
NEEDED = (E.seq, E.type, E.points, E.created_at, E.ladder_version, E.tier_before, E.tier_after)

# Of those who are not replayed: what each entry and change finds must be what the one before it has left, and so must the
# row, but where a ladder came into force before changes were told (nobody is known to have published those).
CHAIN = """
    WITH step AS (
        SELECT e.participant_id, e.seq AS after_seq, 0 AS id, e.ladder_version AS version, e.tier_before AS level_before,
               NULL::smallint AS number_before, COALESCE(l.numbers[e.tier_after], 0) AS number_after
        FROM ledger_entries AS e LEFT JOIN ladders AS l ON l.tenant_id = :tenant_id AND l.version = e.ladder_version
        WHERE e.tenant_id = :tenant_id AND e.participant_id > :after AND e.participant_id <= :until
        UNION ALL
        SELECT participant_id, after_seq, id, ladder_version, NULL, number_before, number_after FROM tier_changes
        WHERE tenant_id = :tenant_id AND participant_id > :after AND participant_id <= :until
        UNION ALL
        SELECT id, entry_count, 9223372036854775807, NULL, NULL, tier, NULL FROM participants
        WHERE tenant_id = :tenant_id AND id > :after AND id <= :until
    ), chained AS (
        SELECT *, lag(version) OVER past AS past_version, lag(number_after) OVER past AS past_number
        FROM step WINDOW past AS (PARTITION BY participant_id ORDER BY after_seq, id)
    )
    SELECT c.participant_id, CASE WHEN level_before IS NULL THEN NULL ELSE after_seq END, 'tier as it was left before',
           COALESCE(level_before, number_before)::text,
           COALESCE(CASE WHEN level_before IS NULL THEN past_number ELSE l.floors[past_number] END, 0)::text
    FROM chained AS c LEFT JOIN ladders AS l ON l.tenant_id = :tenant_id AND l.version = c.version
    WHERE past_version IS NOT NULL AND (level_before IS NULL OR c.version <> past_version)
          AND COALESCE(level_before, number_before)
              <> COALESCE(CASE WHEN level_before IS NULL THEN past_number ELSE l.floors[past_number] END, 0)
          AND past_version >= :told_since AND NOT c.participant_id = ANY (CAST(:replayed AS bigint[]))
    LIMIT :most
"""
# And so must what a change has led to.
CHANGES = """
    SELECT c.participant_id, NULL::bigint, 'tier when it was ' || c.cause, c.number_after::text, derived::text
    FROM tier_changes AS c
    JOIN ladders AS l ON l.tenant_id = :tenant_id AND l.version = c.ladder_version
    LEFT JOIN ledger_entries AS e ON e.tenant_id = :tenant_id AND e.participant_id = c.participant_id AND e.seq = c.after_seq
    CROSS JOIN LATERAL (
        SELECT COALESCE(l.numbers[width_bucket(COALESCE(e.total_earned_after, 0), l.thresholds)], 0) AS derived
    ) AS rule
    WHERE c.tenant_id = :tenant_id AND c.participant_id > :after AND c.participant_id <= :until
          AND c.number_after <> derived AND NOT c.participant_id = ANY (CAST(:replayed AS bigint[]))
    LIMIT :most
"""

Range = Mapping[str, Any]  # tenant_id, after, until: of participants' internal ids


def replayed(session: Session, of: Range) -> dict[str, Any]:
    """Return whose tiers must be replayed: everybody's, where a ladder asks for it, or those whom something has held."""
    newest = ladder.newest(session, of["tenant_id"])
    unusual = select(Ladder.version).where(
        Ladder.tenant_id == of["tenant_id"], or_(Ladder.basis != "lifetime", Ladder.effect != "now")
    )
    if newest is not None and (not newest.is_settled or session.scalar(unusual.limit(1)) is not None):
        return {"replays_all": True, "replayed": []}
    touched = or_(C.is_kept, C.cause.not_in(["published", "registered"]))
    told = select(C.participant_id).where(*_among(C.tenant_id, C.participant_id, of), touched)
    marked = select(P.id).where(*_among(P.tenant_id, P.id, of), P.is_held)
    held = select(H.participant_id).where(*_among(H.tenant_id, H.participant_id, of))
    return {"replays_all": False, "replayed": sorted(session.scalars(union(told, marked, held)))}


def replay(session: Session, of: Range, *, most: int) -> list[tuple[Any, ...]]:
    """Return what is wrong with the tiers of those who are replayed, as rows of a check."""
    if of["replays_all"]:
        return list(islice(_wrong(session, of), most))
    wrong = list(islice(_wrong(session, of), most)) if of["replayed"] else []
    told = select(Ladder.version).where(Ladder.tenant_id == of["tenant_id"], Ladder.published_by.is_(None))
    since = session.scalar(told.order_by(Ladder.version.desc()).limit(1)) or 0
    newest = ladder.newest(session, of["tenant_id"])
    if newest is not None and newest.version > 1:
        values = {**of, "told_since": since}
        wrong += [tuple(row) for query in (CHAIN, CHANGES) for row in session.execute(text(query), values)]
    return wrong


def _wrong(session: Session, of: Range) -> Iterator[tuple[Any, ...]]:
    tenant_id = of["tenant_id"]
    ladders = {each.version: each for each in session.scalars(select(Ladder).where(Ladder.tenant_id == tenant_id))}
    newest = ladders[max(ladders)] if ladders else None
    changes, holds = _changes(session, of), _holds(session, of)
    entries = _entries(session, of)
    following = next(entries, None)
    people = (
        select(P.id, P.tier, P.ladder_version, P.is_held).where(*_among(P.tenant_id, P.id, of), _chosen(P.id, of)).order_by(P.id)
    )
    for number, tier, version, is_held in session.execute(people).all():
        mine: Sequence[LedgerEntry] = []
        if following and following[0] == number:
            mine, following = following[1], next(entries, None)
        holder = Holder(ladders)
        for each in (*holder.replay(mine, changes[number]), *holder.end(Row(tier, version, is_held), holds[number], newest)):
            yield (number, *each)


def _entries(session: Session, of: Range) -> Iterator[tuple[int, list[LedgerEntry]]]:
    query = select(E).options(load_only(*NEEDED)).where(*_among(E.tenant_id, E.participant_id, of), _chosen(E.participant_id, of))
    query = query.order_by(E.participant_id, E.seq).execution_options(yield_per=AT_ONCE)
    for number, mine in groupby(session.scalars(query), key=lambda entry: entry.participant_id):
        found = list(mine)
        yield number, found
        for entry in found:
            session.expunge(entry)


def _changes(session: Session, of: Range) -> Mapping[int, list[TierChange]]:
    found: dict[int, list[TierChange]] = defaultdict(list)
    query = select(C).where(*_among(C.tenant_id, C.participant_id, of), _chosen(C.participant_id, of))
    for change in session.scalars(query.order_by(C.participant_id, C.after_seq, C.id)):
        found[change.participant_id].append(change)
    return found


def _holds(session: Session, of: Range) -> Mapping[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for hold in session.scalars(select(H).where(*_among(H.tenant_id, H.participant_id, of))):
        found[hold.participant_id][hold.kind] = hold.number
    return found


def _among(tenant_id: Any, number: Any, of: Range) -> tuple[ColumnElement[bool], ...]:
    return tenant_id == of["tenant_id"], number > of["after"], number <= of["until"]


def _chosen(number: Any, of: Range) -> ColumnElement[bool]:
    return and_(true()) if of["replays_all"] else number.in_(of["replayed"])
