"""Previews that take several requests: what is counted so far travels sealed, so that nobody can add to it."""

import zlib
from datetime import datetime

from gamify.services.vault import Vault

PURPOSE = "preview of tiers"


def seal(vault: Vault, tenant_id: int, rest: str, *, now: datetime) -> str:
    """Return what the next request brings back."""
    return vault.seal(_purpose(tenant_id), zlib.compress(rest.encode()), now=now).decode()


def unseal(vault: Vault, tenant_id: int, token: str) -> str | None:
    """Return what was counted; None for what is not ours."""
    opened = vault.unseal(_purpose(tenant_id), token.encode("utf-8", "replace"))
    return zlib.decompress(opened).decode() if opened else None


def _purpose(tenant_id: int) -> str:
    return f"{PURPOSE} {tenant_id}"
