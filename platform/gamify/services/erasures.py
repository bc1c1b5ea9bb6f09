"""The end of a person's data: who they are goes at once and for good, the sums stay.

The words in their entries follow in small transactions: as many as are quick at once, the rest by the job `blank_erased`.
That can be interrupted anywhere; what is left to do is in `erasures`.
"""

import time
from contextlib import suppress
from datetime import datetime
from uuid import uuid4

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from gamify import queue
from gamify.db import Database
from gamify.errors import Unavailable
from gamify.models import Erasure, ParticipantDetails, TierHold
from gamify.services import audit, details, rollups
from gamify.services.audit import Actor

AT_ONCE = 5_000  # entries a transaction
QUICK = 1.0  # s that whoever erases may wait for
PREFIX = "erased-"

BLANK = text("SELECT participant_blank(:tenant_id, :participant_id, :after, :until)")


def erase(session: Session, tenant_id: int, participant_id: str, *, actor: Actor) -> datetime:
    """Forget who a participant is: id, name, attributes, reasons of holds. Their entries stay, and so do all sums.

    The id is free from then on: an award to it makes somebody new. Words in entries and changes of tier are left for
    `advance`. Returns when that was. Raises `NotFound`, for who is erased already as well.
    """
    rollups.hold(session, tenant_id)  # or a new standing of theirs could hold the id
    participant = details.get_locked(session, tenant_id, participant_id)
    whose = {"tenant_id": tenant_id, "participant_id": participant.id}
    session.execute(delete(ParticipantDetails).filter_by(**whose))
    session.execute(update(TierHold).filter_by(**whose).values(reason=None))
    session.add(Erasure(**whose, entry_count=participant.entry_count))
    participant.external_id = f"{PREFIX}{uuid4()}"
    erased_at: datetime = session.scalars(select(func.clock_timestamp())).one()
    participant.erased_at = erased_at
    session.flush()
    queue.defer(session, "blank_erased", tenant_id=tenant_id, lock=f"erasures of {tenant_id}")
    said = {"entries": participant.entry_count, "balance": participant.balance}
    audit.record(session, tenant_id, actor, action="participant.erase", subject=f"participant {participant.id}", before=said)
    return erased_at


def advance(database: Database, tenant_id: int) -> bool:
    """Blank the words in the next `AT_ONCE` entries of somebody who is erased; return whether there was anything to do.

    No movement waits for this. Of several processes each takes another person.
    """
    with database.transaction(tenant_id) as session:
        waiting = select(Erasure).where(Erasure.tenant_id == tenant_id).order_by(Erasure.participant_id).limit(1)
        erasure = session.scalar(waiting.with_for_update(skip_locked=True))
        if erasure is None:
            return False
        until = min(erasure.blanked_count + AT_ONCE, erasure.entry_count)
        values = {
            "tenant_id": tenant_id,
            "participant_id": erasure.participant_id,
            "after": erasure.blanked_count,
            "until": until,
        }
        rollups.blank(session, **values)
        session.execute(BLANK, values)
        erasure.blanked_count = until
        if until == erasure.entry_count:
            session.delete(erasure)
    return True


def catch_up(database: Database, tenant_id: int, *, seconds: float) -> bool:
    """Advance until no words are left, for so long at most; return whether none are. Without a database, next time will do."""
    give_up_at = time.monotonic() + seconds
    with suppress(Unavailable):
        while advance(database, tenant_id):
            if time.monotonic() > give_up_at:
                return False
        return True
    return False
