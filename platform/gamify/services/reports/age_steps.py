"""The ages of the points at the end of a day, step by step: how far they are counted travels sealed between requests."""

import json
from datetime import date, datetime, tzinfo
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.services.reports import ages
from gamify.services.reports.ages import DAYS, Ages
from gamify.services.reports.span import Span
from gamify.services.vault import Vault

PURPOSE = f"ages of points, by edges of {DAYS} days"  # what was counted by other edges is of no use
STEP = 0.3  # seconds of one request

# By the clock that entries have their times from.
INSTANT = text("SELECT LEAST(:until, clock_timestamp())")


class Progress(NamedTuple):
    """How far the ages at the end of a day of a zone are counted. All steps are of one instant, `ages.at`."""

    day: date
    zone: str
    ages: Ages

    @property
    def is_whole(self) -> bool:
        """Whether everybody is counted."""
        return self.ages.done_until is None


def begin(session: Session, day: date, zone: tzinfo) -> Progress:
    """Return where counting begins: at the end of the day or, if that is not over, now."""
    until = Span(day, day, "day", zone).until
    return Progress(day, str(zone), Ages(session.execute(INSTANT, {"until": until}).scalar_one()))


def go_on(session: Session, tenant_id: int, done: Progress, *, seconds: float) -> Progress:
    """Count the next participants, for about so long."""
    deadline = monotonic() + seconds
    while True:
        done = done._replace(ages=ages.advance(session, tenant_id, done.ages, most=ages.AT_ONCE))
        if done.is_whole or monotonic() >= deadline:
            return done


def seal(vault: Vault, tenant_id: int, done: Progress, *, now: datetime) -> str:
    """Return what the next request brings back."""
    day, zone, found = done
    value = {"of": [tenant_id, str(day), zone], "at": found.at.isoformat(), "sums": list(found.sums)}
    value |= {"done": [found.done_until, found.done_count]}
    return vault.seal(PURPOSE, json.dumps(value).encode(), now=now).decode()


def unseal(vault: Vault, tenant_id: int, token: str) -> Progress | None:
    """Return how far it is; None for what is not ours, or another tenant's."""
    opened = vault.unseal(PURPOSE, token.encode("utf-8", "replace"))
    if opened is None:
        return None
    value: dict[str, Any] = json.loads(opened)
    owner, day, zone = value["of"]
    if owner != tenant_id:
        return None
    return Progress(
        date.fromisoformat(day), zone, Ages(datetime.fromisoformat(value["at"]), tuple(value["sums"]), *value["done"])
    )
