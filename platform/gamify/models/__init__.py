"""Tables, one a file."""

from gamify.models.api_key import ApiKey, KeyDigest
from gamify.models.base import Record, TenantRecord
from gamify.models.idempotency_key import IdempotencyKey
from gamify.models.ledger_entry import LedgerEntry
from gamify.models.participant import Participant
from gamify.models.tenant import Tenant
from gamify.models.tier import Ladder, Tier
from gamify.models.user import User

__all__ = [
    "ApiKey",
    "IdempotencyKey",
    "KeyDigest",
    "Ladder",
    "LedgerEntry",
    "Participant",
    "Record",
    "Tenant",
    "TenantRecord",
    "Tier",
    "User",
]
