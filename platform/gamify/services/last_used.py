"""When each key was last used, and from where: remembered in the process, and written from time to time.

No request writes. A thread looks every few seconds at what was used, and writes a key once a minute at most; of several
processes the first one writes.
"""

import logging
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from gamify.db import Database
from gamify.errors import DomainError
from gamify.rhythm import Rhythm

log = logging.getLogger(__name__)

LOOK_EVERY = 15.0  # seconds until a use can be seen
LONGEST_ADDRESS = 64

# Time goes by the minute, so only the first of several processes finds anything to change.
WRITE = text("""
    UPDATE api_keys SET last_used_at = :at, last_used_address = :address
    WHERE tenant_id = :tenant_id AND id = :key_id AND (last_used_at IS NULL OR last_used_at < :at)
""")

Key = tuple[int, int]  # tenant and key
Use = tuple[datetime, str | None]  # the minute, and from where


class LastUsed:
    """Remembers uses and writes them. Its thread starts with the first use, so a fork before that is harmless."""

    def __init__(self, database: Database, *, look_every: float = LOOK_EVERY) -> None:
        self._database = database
        self._used: dict[Key, Use] = {}  # since the last look
        self._written: dict[Key, datetime] = {}  # the minute
        self._rhythm = Rhythm(lambda: self.write(now=datetime.now(UTC)), every=look_every, name="last-used")

    def note(self, tenant_id: int, key_id: int, address: str | None, *, now: datetime) -> None:
        """Remember that a key is being used."""
        self._used[tenant_id, key_id] = now.replace(second=0, microsecond=0), address
        self._rhythm.start()

    def write(self, *, now: datetime) -> None:
        """Write the uses of keys that this process has not written in their minute. Without a database, next time will do."""
        used = {key: self._used.pop(key) for key in list(self._used)}  # others go on adding meanwhile
        recent = now - timedelta(minutes=2)
        self._written = {key: minute for key, minute in self._written.items() if minute > recent}
        due = sorted(key for key, (minute, _) in used.items() if self._written.get(key) != minute)
        try:
            for tenant_id in dict.fromkeys(tenant_id for tenant_id, _ in due):
                self._write_of(tenant_id, {key: used[key] for key in due if key[0] == tenant_id})
        except DomainError as error:
            log.debug("last uses wait for the database: %s", error)
            for key in due:
                self._used.setdefault(key, used[key])

    def close(self) -> None:
        """Write what is left, if that is quick, and stop."""
        self._rhythm.close()

    def _write_of(self, tenant_id: int, used: dict[Key, Use]) -> None:
        with self._database.transaction(tenant_id) as session:
            for (_, key_id), (minute, address) in used.items():  # ascending, so that processes never wait in a circle
                values = {"tenant_id": tenant_id, "key_id": key_id, "at": minute}
                session.execute(WRITE, values | {"address": address and address[:LONGEST_ADDRESS]})
        self._written |= {key: minute for key, (minute, _) in used.items()}
