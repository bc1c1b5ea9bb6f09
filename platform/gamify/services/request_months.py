"""How many requests a tenant sends in a month (UTC): counted in the process, and added up once a minute."""

import logging
import threading
from collections import Counter
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from gamify.db import Database
from gamify.errors import DomainError
from gamify.rhythm import Rhythm

log = logging.getLogger(__name__)

ADD_EVERY = 60.0  # seconds until a request can be seen in the sum

ADD = text("""
    INSERT INTO request_months AS m (tenant_id, month, request_count) VALUES (:tenant_id, :month, :count)
    ON CONFLICT (tenant_id, month) DO UPDATE SET request_count = m.request_count + excluded.request_count
""")

Month = tuple[int, int, int]  # tenant, year, month


class RequestMonths:
    """Counts requests and adds them to their tenants' months."""

    def __init__(self, database: Database, *, add_every: float = ADD_EVERY) -> None:
        self._database = database
        self._counts: Counter[Month] = Counter()
        self._lock = threading.Lock()
        self._rhythm = Rhythm(self.add, every=add_every, name="request-months")

    def count(self, tenant_id: int, *, now: datetime) -> None:
        """Count one request at `now` (UTC)."""
        with self._lock:
            self._counts[tenant_id, now.year, now.month] += 1
        self._rhythm.start()

    def add(self) -> None:
        """Add what was counted, a transaction for each tenant. Without a database, next time will do."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        for month, count in sorted(counts.items()):
            try:
                self._add(month, count)
            except IntegrityError:  # the tenant has been deleted meanwhile
                log.debug("requests of a tenant that is gone are not counted")
            except DomainError as error:
                log.debug("counts of requests wait for the database: %s", error)
                with self._lock:
                    self._counts[month] += count

    def close(self) -> None:
        """Add what is left, if that is quick, and stop."""
        self._rhythm.close()

    def _add(self, month: Month, count: int) -> None:
        tenant_id, year, number = month
        with self._database.transaction(tenant_id) as session:
            session.execute(ADD, {"tenant_id": tenant_id, "month": date(year, number, 1), "count": count})
