"""Redis: the requests of the last minute, and word of changes to keys. Never the truth.

One round trip a request both counts it against its two limits and tells the tenant's *generation*: a number that
changes with every change to the tenant or its keys, so that a cached key is dropped the moment it is revoked. Without
Redis each process counts for itself and cached keys live for seconds only.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from math import ceil
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from gamify.gathering import Gatherer

log = logging.getLogger(__name__)

WINDOW = 60.0  # seconds a request counts
TIMEOUT = 0.2  # seconds Redis may take; once, then it is left alone until it answers again
PROBE_EVERY = 1.0
LOG_EVERY = 60.0

# An exact moving window: a list of the times of the requests that count, oldest first. Both lists are looked at before
# either grows, so a refused request costs nothing. Times are Redis's own, in microseconds.
ALLOW = """
local generation = redis.call('GET', KEYS[3]) or '0'
if generation ~= ARGV[4] then return {generation} end
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local since = now - tonumber(ARGV[1])
local tightest, blocked = nil, nil
for i = 1, 2 do
    local limit = tonumber(ARGV[1 + i])
    if limit > 0 then
        local oldest = redis.call('LINDEX', KEYS[i], 0)
        while oldest and tonumber(oldest) <= since do
            redis.call('LPOP', KEYS[i])
            oldest = redis.call('LINDEX', KEYS[i], 0)
        end
        local left = limit - redis.call('LLEN', KEYS[i])
        local seen = {i, left, tonumber(oldest) or now}
        if left <= 0 then
            -- Room comes when as many have left as there are too many (a limit may have been lowered).
            seen[3] = tonumber(redis.call('LINDEX', KEYS[i], -left)) or now
            if not blocked or seen[3] > blocked[3] then blocked = seen end
        end
        if not tightest or left < tightest[2] then tightest = seen end
    end
end
if not blocked and tightest then
    for i = 1, 2 do
        if tonumber(ARGV[1 + i]) > 0 then
            redis.call('RPUSH', KEYS[i], string.format('%.0f', now))
            redis.call('PEXPIRE', KEYS[i], tonumber(ARGV[1]) / 1000)
        end
    end
end
local shown = blocked or tightest or {0, 0, now}
return {blocked and 0 or 1, shown[1], shown[2], string.format('%.0f', shown[3]), string.format('%.0f', now)}
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of a limit after this request. `subject` is `API key` or `tenant`; `limit` 0 means there is none."""

    subject: str
    limit: int
    remaining: int
    reset_at: int  # epoch seconds: when the oldest counted request stops counting
    retry_after: int  # seconds; 0 if the request was allowed

    @property
    def is_allowed(self) -> bool:
        """Whether the request may go on."""
        return self.retry_after == 0


SUBJECTS = ("API key", "tenant")

_Asked = tuple[str | int, ...]  # keys and arguments of `ALLOW`


class Counters:
    """A hold on Redis that survives its death: after one slow answer nobody waits for it until it is back."""

    def __init__(self, url: str) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0), protocol=2
        )
        self._allow_sha = sha1(ALLOW.encode(), usedforsecurity=False).hexdigest()
        self._connection: Any = self._redis.connection_pool.make_connection()  # no types in there
        self._gatherer: Gatherer[_Asked, list[Any]] = Gatherer(self._ask)
        self._own = OwnWindow()
        self._is_down = False
        self._lock = threading.Lock()
        self._logged_at = 0.0
        self.fallback_count = 0

    def allow(self, *, tenant_id: int, key_id: int, key_limit: int, tenant_limit: int, generation: str | None) -> Budget | None:
        """Count one request, unless a limit (requests a minute; 0: none) forbids it. Unlimited keys do not count.

        Returns None, with nothing counted, if the tenant is past `generation`: its limits or keys may have changed.
        """
        limits = (key_limit, tenant_limit if key_limit else 0)
        names = (f"{{{tenant_id}}}:key:{key_id}", f"{{{tenant_id}}}:tenant", f"{{{tenant_id}}}:generation")
        with suppress(redis.RedisError):  # `_ask` has seen to it
            return self._read(self._gatherer.post("redis", (*names, int(WINDOW * 1e6), *limits, generation or "")), limits)
        self.fallback_count += 1
        return self._own.allow(names[:2], limits, now=time.time())

    def generation(self, tenant_id: int) -> str | None:
        """The tenant's generation; None while Redis is away."""
        if self._is_down:
            return None
        try:
            value: Any = self._redis.get(f"{{{tenant_id}}}:generation")
        except redis.RedisError as error:
            self._gone(error)
            return None
        return value.decode() if value else "0"

    def advance(self, tenant_id: int) -> None:
        """Say that the tenant or one of its keys has changed (after the change is committed).

        Time is in the number, so that a flushed Redis does not count its way back to one that was seen before.
        """
        try:
            self._redis.set(f"{{{tenant_id}}}:generation", time.time_ns())
        except redis.RedisError as error:
            self._gone(error)

    def is_reachable(self) -> bool:
        """Whether Redis answers right now."""
        try:
            return bool(self._redis.ping())
        except redis.RedisError:
            return False

    def close(self) -> None:
        """Let go of the connections."""
        self._connection.disconnect()
        self._redis.close()

    def _ask(self, _lane: Hashable, asked: Sequence[_Asked]) -> list[list[Any]]:
        """Run `ALLOW` for each of several requests, in one round trip.

        On a connection that nobody else holds at this moment, for a third of the cost of the client's own layers.
        """
        if self._is_down:
            raise redis.ConnectionError  # whoever came before has waited in vain
        connection = self._connection
        commands = connection.pack_commands([("EVALSHA", self._allow_sha, 3, *each) for each in asked])
        try:
            connection.send_packed_command(commands)
            answers = [_answer(connection) for _ in asked]
            if any(isinstance(answer, NoScriptError) for answer in answers):  # a new or flushed server
                connection.send_command("SCRIPT", "LOAD", ALLOW)
                connection.read_response()
                connection.send_packed_command(commands)
                answers = [connection.read_response() for _ in asked]
        except redis.RedisError as error:
            connection.disconnect()  # whatever it still sends belongs to nobody
            self._gone(error)
            raise
        return answers

    @staticmethod
    def _read(answer: list[Any], limits: tuple[int, int]) -> Budget | None:
        if len(answer) == 1:
            return None
        allowed, which, left, oldest, now = answer
        frees_at = (int(oldest) / 1e6) + WINDOW
        return Budget(
            subject=SUBJECTS[which - 1],
            limit=limits[which - 1] if which else 0,
            remaining=max(0, left - allowed),
            reset_at=ceil(frees_at),
            retry_after=0 if allowed else max(1, ceil(frees_at - int(now) / 1e6)),
        )

    def _gone(self, error: redis.RedisError) -> None:
        with self._lock:
            if self._is_down:
                return
            self._is_down = True
        if time.monotonic() - self._logged_at > LOG_EVERY:
            self._logged_at = time.monotonic()
            log.warning("redis is away (%s); each process counts requests for itself", type(error).__name__)
        threading.Thread(target=self._await_return, name="redis-probe", daemon=True).start()

    def _await_return(self) -> None:
        while not self.is_reachable():
            time.sleep(PROBE_EVERY)
        self._is_down = False


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except NoScriptError as error:
        return error


class OwnWindow:
    """The same moving window within this process, for while Redis is away."""

    MOST_SUBJECTS = 10_000

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def allow(self, names: tuple[str, ...], limits: tuple[int, int], *, now: float) -> Budget:
        """Count one request at `now` (epoch seconds) against each limit above zero."""
        with self._lock:
            if len(self._times) > self.MOST_SUBJECTS:
                self._times.clear()
            limited = [(i, names[i], limit) for i, limit in enumerate(limits) if limit]
            windows = [(i, self._window(name, now), limit) for i, name, limit in limited]
            if not windows:
                return Budget(SUBJECTS[0], 0, 0, ceil(now), 0)
            which, window, limit = min(windows, key=lambda w: w[2] - len(w[1]))
            is_allowed = len(window) < limit
            if is_allowed:
                for _, each, _ in windows:
                    each.append(now)
            frees_at = window[max(0, len(window) - limit)] + WINDOW
            retry_after = 0 if is_allowed else max(1, ceil(frees_at - now))
            return Budget(SUBJECTS[which], limit, max(0, limit - len(window)), ceil(frees_at), retry_after)

    def _window(self, name: str, now: float) -> deque[float]:
        window = self._times.setdefault(name, deque())
        while window and window[0] <= now - WINDOW:
            window.popleft()
        return window
