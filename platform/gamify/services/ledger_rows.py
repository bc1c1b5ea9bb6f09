"""Entries of the ledger with all that is known of them: whose, by whom or which key, from which tier to which."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, and_, cast, func, select
from sqlalchemy.orm import Session, aliased

from gamify.errors import NotFound
from gamify.models import ApiKey, LedgerEntry, Participant, Tenant, Tier, User

OF_ENTRY = (
    *("id", "seq", "type", "points", "reason", "created_at", "reverses"),
    *("balance_after", "total_earned_after", "total_spent_after", "tier_before", "tier_after"),
    *("idempotency_key", "request_id", "user_id"),
)


def find(session: Session, tenant_id: int, entry_id: UUID) -> Any:
    """Return one entry. Raises `NotFound`."""
    chosen = select(LedgerEntry).where(LedgerEntry.tenant_id == tenant_id, LedgerEntry.id == entry_id)
    row = session.execute(decorated(tenant_id, chosen)).one_or_none()
    if row is None:
        raise NotFound(f"There is no transaction {entry_id}.")
    return row


def decorated(tenant_id: int, chosen: Select[LedgerEntry]) -> Select[Any]:
    """Return a query for the entries of another one, newest first. That one comes first and bounds what is joined to it.

    `before` and `after` are the tiers; None for none.
    """
    entry = aliased(LedgerEntry, chosen.subquery())
    later, before, after = aliased(LedgerEntry), aliased(Tier, name="before"), aliased(Tier, name="after")
    reversed_by = select(later.id).where(later.tenant_id == tenant_id, later.reverses == entry.id).scalar_subquery()
    query = select(
        *(getattr(entry, name) for name in OF_ENTRY),
        cast(entry.metadata_, Text).label("metadata"),  # as it was sent, unparsed
        reversed_by.label("reversed_by"),
        Participant.external_id,
        ApiKey.name.label("key_name"),
        ApiKey.prefix.label("key_prefix"),
        User.email,
        before,
        after,
    )
    return _joined(query, tenant_id, entry, before, after).order_by(entry.id.desc())


def _joined(query: Select[Any], tenant_id: int, entry: Any, before: Any, after: Any) -> Select[Any]:
    # People belong to the live tenant, and move points in its sandbox, too.
    home = select(func.coalesce(Tenant.sandbox_of, Tenant.id)).where(Tenant.id == tenant_id).scalar_subquery()
    for tier, level in ((before, entry.tier_before), (after, entry.tier_after)):
        on = (tier.tenant_id == tenant_id, tier.ladder_version == entry.ladder_version, tier.level == level)
        query = query.outerjoin(tier, and_(*on))
    return (
        query.join(Participant, and_(Participant.tenant_id == tenant_id, Participant.id == entry.participant_id))
        .outerjoin(ApiKey, and_(ApiKey.tenant_id == tenant_id, ApiKey.id == entry.api_key_id))
        .outerjoin(User, and_(User.id == entry.user_id, User.tenant_id == home))
    )
