"""Previews that take several requests, because every ledger has to be looked at: what is counted so far travels sealed."""

import json
import zlib
from datetime import datetime
from hashlib import sha256

from gamify.services.drafts import Content
from gamify.services.tallies import Tally
from gamify.services.tiers import Policy
from gamify.services.vault import Vault

PURPOSE = "preview of tiers"


def seal(vault: Vault, tenant_id: int, of: tuple[Content, Policy], done: Tally, *, now: datetime) -> str:
    """Return what the next request brings back."""
    value = json.dumps([_name(tenant_id, of), done.write()])
    return vault.seal(PURPOSE, zlib.compress(value.encode()), now=now).decode()


def unseal(vault: Vault, tenant_id: int, of: tuple[Content, Policy], token: str) -> Tally | None:
    """Return how far the preview is; None for what is not ours, or of another draft or policy."""
    opened = vault.unseal(PURPOSE, token.encode("utf-8", "replace"))
    name, written = json.loads(zlib.decompress(opened)) if opened else ("", "")
    return Tally.read(written) if name == _name(tenant_id, of) else None


def _name(tenant_id: int, of: tuple[Content, Policy]) -> str:
    return sha256(repr((tenant_id, of)).encode()).hexdigest()
