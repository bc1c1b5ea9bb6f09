"""Which tiers follow from more than a total, and whether they do: for `verification`, on one snapshot."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, true, union
from sqlalchemy.orm import Session, load_only

from gamify.models import Ladder, LedgerEntry, Participant, TierChange, TierHold
from gamify.services import ladder
from gamify.services.tier_replay import Holder, Row

AT_ONCE = 2_000  # entries a fetch
C, E, H, P = TierChange, LedgerEntry, TierHold, Participant
NEEDED = (E.seq, E.type, E.points, E.created_at, E.ladder_version, E.tier_before, E.tier_after)

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
    if not of["replays_all"] and not of["replayed"]:
        return []
    return list(islice(_wrong(session, of), most))


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
