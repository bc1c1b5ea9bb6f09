"""What somebody should see to, before it stops a program or a report."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from gamify.models import ApiKey, Tenant
from gamify.services import api_keys, holds, ladder

SOON = timedelta(days=14)
SOON_FOR_PINS = timedelta(days=7)
MOST_PINS = 5


class Attention(NamedTuple):
    """Keys and pins whose end is near, the nearest first, and what is missing."""

    expiring: list[ApiKey]
    has_keys: bool
    has_tiers: bool
    ending: Sequence[Any]  # pins, see `holds.ending`; one more than `most_pins` if there are more
    most_pins: int = MOST_PINS


def of(session: Session, tenant: Tenant, *, now: datetime) -> Attention:
    """Return what needs attention. A key that is being rolled has its successor, and needs none."""
    keys = [key for key in api_keys.of_tenant(session, tenant) if api_keys.state_of(key, now=now) == "valid"]
    expiring = [key for key in keys if key.expires_at is not None and key.expires_at - now < SOON]
    expiring.sort(key=lambda key: key.expires_at or now)
    ending = holds.ending(session, tenant.id, within=SOON_FOR_PINS, now=now, most=MOST_PINS + 1)
    return Attention(expiring, bool(keys), bool(ladder.in_force(session, tenant.id)), ending)
