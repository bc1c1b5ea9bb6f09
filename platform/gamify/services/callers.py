"""Who calls: the keys this process has seen lately, so that a request costs no look-up in the database."""

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from gamify.counters import Budget, Counters
from gamify.db import Database
from gamify.services import api_keys
from gamify.services.api_keys import Caller

FRESH = 5.0  # seconds; without Redis a revoked key works at most this long
MOST_KEYS = 10_000  # unknown ones included, so that guessing cannot fill the memory
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller | None
    generation: str | None
    until: float  # on the monotonic clock


class Callers:
    """Authenticates keys and counts their requests."""

    def __init__(self, database: Database, counters: Counters, *, pepper: str) -> None:
        self._database, self._counters, self._pepper = database, counters, pepper
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._salt = secrets.token_bytes(32)  # names in this cache are good for nothing else, and cheap to make
        self._lock = threading.Lock()

    def admit(self, secret: str) -> tuple[Caller, Budget] | None:
        """Return who calls and what is left of the limits, this request counted; None if the key is not valid."""
        name = hashlib.blake2b(secret.encode(), key=self._salt, digest_size=16).digest()
        known = self._recent(name)
        if known is None:
            if not api_keys.is_well_formed(secret):
                return None
            known = self._look_up(name, secret)
        for _ in range(ATTEMPTS):
            if (caller := known.caller) is None:
                return None
            budget = self._counters.allow(
                tenant_id=caller.tenant_id,
                key_id=caller.api_key_id,
                key_limit=caller.key_limit,
                tenant_limit=caller.tenant_limit,
                generation=known.generation,
            )
            if budget is not None:
                return caller, budget
            known = self._look_up(name, secret)  # the tenant or a key of it has changed since
        raise RuntimeError("the tenant's keys keep changing")

    def _recent(self, name: bytes) -> _Known | None:
        known = self._known.get(name)
        if known is None or known.until < time.monotonic():
            return None
        if known.caller and known.caller.expires_at and known.caller.expires_at <= datetime.now(UTC):
            return None
        return known

    def _look_up(self, name: bytes, secret: str) -> _Known:
        until = time.monotonic() + FRESH
        caller, generation = None, None
        if found := api_keys.find(self._database, api_keys.digest(secret, self._pepper)):
            # The generation first, the key after: a change in between shows as an old generation, never as an old key.
            generation = self._counters.generation(found[0])
            caller = api_keys.authenticate(self._database, *found, now=datetime.now(UTC))
        known = _Known(caller, generation, until)
        with self._lock:
            self._known[name] = known
            self._known.move_to_end(name)
            while len(self._known) > MOST_KEYS:
                self._known.popitem(last=False)
        return known
