"""Tables, one a file."""

from gamify.models.api_key import ApiKey, KeyDigest
from gamify.models.audit_entry import AuditEntry, PlatformAuditEntry
from gamify.models.base import Record, TenantRecord
from gamify.models.export import Export, ReportSchedule
from gamify.models.idempotency_key import IdempotencyKey
from gamify.models.job_error import JobError
from gamify.models.ladder_draft import LadderDraft, Recalculation
from gamify.models.ledger_entry import LedgerEntry
from gamify.models.one_time_link import OneTimeLink
from gamify.models.participant import Participant
from gamify.models.participant_details import Erasure, ParticipantDetails
from gamify.models.report import Dimension, PointCost, SavedReport
from gamify.models.request_month import RequestMonth
from gamify.models.rollup import (
    ActivityDay,
    AwardSizeDay,
    BalanceStanding,
    LedgerQuarter,
    ParticipantStanding,
    RollupProgress,
    TierFlowQuarter,
    TierQuarter,
    TierStanding,
    Word,
    WordQuarter,
)
from gamify.models.sign_in_failure import SignInFailure
from gamify.models.tenant import Tenant
from gamify.models.tier import Ladder, Tier
from gamify.models.tier_hold import TierChange, TierHold
from gamify.models.user import User
from gamify.models.user_session import UserSession

__all__ = [
    "ActivityDay",
    "ApiKey",
    "AuditEntry",
    "AwardSizeDay",
    "BalanceStanding",
    "Dimension",
    "Erasure",
    "Export",
    "IdempotencyKey",
    "JobError",
    "KeyDigest",
    "Ladder",
    "LadderDraft",
    "LedgerEntry",
    "LedgerQuarter",
    "OneTimeLink",
    "Participant",
    "ParticipantDetails",
    "ParticipantStanding",
    "PlatformAuditEntry",
    "PointCost",
    "Recalculation",
    "Record",
    "ReportSchedule",
    "RequestMonth",
    "RollupProgress",
    "SavedReport",
    "SignInFailure",
    "Tenant",
    "TenantRecord",
    "Tier",
    "TierChange",
    "TierFlowQuarter",
    "TierHold",
    "TierQuarter",
    "TierStanding",
    "User",
    "UserSession",
    "Word",
    "WordQuarter",
]
