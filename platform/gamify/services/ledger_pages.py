"""Pages of the ledger, newest first, whatever is filtered: each looks through a bounded part of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from gamify.models import LedgerEntry
from gamify.services import ledger_rows
from gamify.services.entries import Filter, conditions, instant_of
from gamify.services.ledger_steps import Effort, Spent, steps


class Page(NamedTuple):
    """Entries, and where to go on: older than `next_id`; None at the end.

    A page that is not full has looked back to an instant and no further, for that was enough for one request.
    """

    entries: Sequence[Any]  # rows of `ledger_rows`
    next_id: UUID | None
    looked_back_to: datetime | None = None


def page(
    session: Session, tenant_id: int, wanted: Filter, *, before: UUID | None = None, limit: int, effort: Effort | None = None
) -> Page:
    """Return up to `limit` entries older than `before`, newest first."""
    effort = effort or Effort()
    found: list[Any] = []
    spent = Spent(effort)
    for step in steps(session, tenant_id, wanted, before=before, step=effort.step):
        chosen = select(LedgerEntry).where(*step.conditions, *conditions(wanted)).limit(limit + 1 - len(found))
        order = LedgerEntry.id if wanted.participant_id is None else LedgerEntry.seq
        found += session.execute(ledger_rows.decorated(tenant_id, chosen.order_by(order.desc()))).all()
        if len(found) > limit:
            return Page(found[:limit], found[limit - 1].id)
        if (next_id := step.next_id) and spent.is_all_after(step):
            return Page(found, next_id, instant_of(next_id))
    return Page(found, None)
