"""The last requests of each API key, in Redis for a week: best effort, and no request waits for it.

A request is only remembered in the process. A thread takes what has come together to Redis every second; what it cannot
deliver is forgotten.
"""

import json
import logging
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gamify.logs import without_keys
from gamify.rhythm import Rhythm

log = logging.getLogger(__name__)

KEPT = 200  # requests of a key
KEPT_FOR = timedelta(days=7)
MOST = 20_000  # requests remembered between two deliveries
DELIVER_EVERY = 1.0  # seconds until a request can be seen
TIMEOUT = 0.5  # seconds
LONGEST_PATH = 500

Key = tuple[int, int]  # tenant and key
_Line = tuple[float, str, str, int, float, str]  # the members of `Request`, as Redis keeps them


@dataclass(frozen=True, slots=True)
class Request:
    """One request under a valid key, without its query and body."""

    at: datetime
    method: str
    path: str
    status: int
    duration_ms: float
    request_id: str


class RequestLog:
    """Remembers requests, delivers them and tells the newest, whichever process has answered them."""

    def __init__(self, url: str, *, deliver_every: float = DELIVER_EVERY) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0), protocol=2
        )
        self._noted: deque[tuple[Key, _Line]] = deque(maxlen=MOST)
        self._taking = threading.Lock()
        self._rhythm = Rhythm(self.deliver, every=deliver_every, name="request-log")

    def note(self, tenant_id: int, key_id: int, *line: Any) -> None:
        """Remember a request: when (epoch seconds), method, path, status, how long (ms) and request id."""
        self._noted.append(((tenant_id, key_id), line))
        self._rhythm.start()

    def deliver(self) -> None:
        """Take what is remembered to Redis. Without Redis it is forgotten."""
        lines: dict[Key, deque[_Line]] = {}
        with self._taking:
            for _ in range(len(self._noted)):  # others go on adding meanwhile
                key, line = self._noted.popleft()
                lines.setdefault(key, deque(maxlen=KEPT)).append(line)
        if not lines:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for key, of_key in lines.items():
            name = _name(key)
            # Sorted by time, so that it does not matter which process comes first.
            pipeline.zadd(name, {_written(line): line[0] for line in of_key})
            pipeline.zremrangebyrank(name, 0, -KEPT - 1)
            pipeline.expire(name, KEPT_FOR)
        try:
            pipeline.execute()
        except redis.RedisError as error:
            log.debug("redis is away (%s); %s requests are not shown", type(error).__name__, sum(map(len, lines.values())))

    def newest(self, tenant_id: int, key_ids: Iterable[int]) -> dict[int, Sequence[Request]] | None:
        """Return the last requests of these keys of a tenant, newest first; None while Redis is away."""
        pipeline, wanted = self._redis.pipeline(transaction=False), list(key_ids)
        for key_id in wanted:
            pipeline.zrevrange(_name((tenant_id, key_id)), 0, KEPT - 1)
        try:
            found = pipeline.execute()
        except redis.RedisError:
            return None
        return {key_id: [_read(line) for line in of_key] for key_id, of_key in zip(wanted, found, strict=True)}

    def close(self) -> None:
        """Deliver what is left, if that is quick, and let go of the connections."""
        self._rhythm.close()
        self._redis.close()


def _name(key: Key) -> str:
    tenant_id, key_id = key
    return f"{{{tenant_id}}}:requests:{key_id}"


def _written(line: _Line) -> str:
    at, method, path, status, duration_ms, request_id = line
    return json.dumps([at, method, without_keys(path)[:LONGEST_PATH], status, round(duration_ms, 1), request_id])


def _read(line: bytes) -> Request:
    at, *rest = json.loads(line)
    return Request(datetime.fromtimestamp(at, UTC), *rest)
