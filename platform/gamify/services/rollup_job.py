"""Who advances the rollups: a thread of each process, for the tenants whose ledgers that process has written to.

Nobody depends on it: whatever it has not come to is added when figures are read, only slower the more there is of it.
"""

import logging
from contextlib import suppress

from gamify.db import Database
from gamify.errors import DomainError, LockedByOthers
from gamify.rhythm import Rhythm
from gamify.services import rollups

log = logging.getLogger(__name__)

LOOK_EVERY = 15.0  # seconds; seldom enough to sum many entries of a participant at once
LOOK_SOON = 0.2  # seconds, while there is more than one share
QUICK = 1.0  # s that somebody who reads may wait for


class Rollups:
    """Remembers tenants and advances them."""

    def __init__(self, database: Database, *, look_every: float = LOOK_EVERY, is_summing: bool = True) -> None:
        self._database, self._look_every, self._is_summing = database, look_every, is_summing
        self._touched: set[int] = set()
        # No last look: whatever it would sum is added when figures are read, and a process should end quickly.
        self._rhythm = Rhythm(self._look_again, every=look_every, name="rollups", has_last=False)

    def touch(self, tenant_id: int) -> None:
        """Remember that entries of a tenant have been committed."""
        self._touched.add(tenant_id)
        if self._is_summing:
            self._rhythm.start()

    def catch_up(self, tenant_id: int) -> None:
        """Before figures are read: sum as much of a long tail as is quick; what is left is for the thread.

        So is what must be derived anew, however long that takes. Raises `Unavailable` when the database cannot be reached.
        """
        with self._database.transaction(tenant_id) as session:
            is_current = rollups.is_current(session, tenant_id)
            is_long = rollups.has_tail(session, tenant_id, longer_than=rollups.AT_ONCE)
            if is_current and not is_long and not rollups.has_tail(session, tenant_id):
                return
        self.touch(tenant_id)  # whoever wrote those entries may not have lived to sum them
        if is_long and is_current:
            with suppress(LockedByOthers):  # figures are exact all the same
                rollups.catch_up(self._database, tenant_id, seconds=QUICK)

    def look(self) -> bool:
        """Advance what was touched; return whether there is more to do at once. Without a database, next time will do."""
        is_more = False
        for tenant_id in sorted(self._touched):
            self._touched.discard(tenant_id)  # before, so that what is committed meanwhile counts as touched anew
            try:
                is_left = rollups.advance(self._database, tenant_id)
            except DomainError as error:
                log.debug("rollups wait: %s", error)
                self._touched.add(tenant_id)
            else:
                is_more |= is_left
                self._touched.update([tenant_id] if is_left else [])
        return is_more

    def close(self) -> None:
        """Stop, after the transaction that is going on."""
        self._rhythm.close()

    def _look_again(self) -> None:
        self._rhythm.every = LOOK_SOON if self.look() else self._look_every
