"""Sums that go on from one request to the next: they travel sealed, and are good for one filter of one tenant."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from gamify.services.entries import Filter
from gamify.services.ledger_totals import Progress, Totals
from gamify.services.vault import Vault

PURPOSE = "sum of a ledger"


def seal(vault: Vault, tenant_id: int, wanted: Filter, done: Progress, *, now: datetime) -> str:
    """Return what the next request brings back."""
    ends = [end.isoformat() if end else None for end in (done.newest, done.oldest)]
    value = {"of": _name(tenant_id, wanted), "totals": list(done.totals), "next": str(done.next_id), "ends": ends}
    return vault.seal(PURPOSE, json.dumps(value).encode(), now=now).decode()


def unseal(vault: Vault, tenant_id: int, wanted: Filter, token: str) -> Progress | None:
    """Return how far the sum is; None for what is not ours, or of another filter."""
    opened = vault.unseal(PURPOSE, token.encode("utf-8", "replace"))
    value: dict[str, Any] = json.loads(opened) if opened else {}
    if value.get("of") != _name(tenant_id, wanted):
        return None
    newest, oldest = (datetime.fromisoformat(end) for end in value["ends"])
    return Progress(Totals(*value["totals"]), UUID(value["next"]), newest, oldest)


def _name(tenant_id: int, wanted: Filter) -> list[str]:
    return [str(tenant_id), repr(wanted)]
