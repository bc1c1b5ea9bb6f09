"""A load generator that costs little: one thread, keep-alive connections, prepared bytes, an epoll loop."""

import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles
from urllib.parse import urlsplit

CLIENTS = 16


@dataclass
class Load:
    """What a run has measured. Times are seconds."""

    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers with status 200 a second."""
        return self.statuses[200] / self.seconds

    def percentile(self, percent: int) -> float:
        return quantiles(self.latencies, n=100)[percent - 1] if len(self.latencies) > 1 else 0.0


def post(path: str, key: str, body: bytes, extra: str = "") -> bytes:
    """A POST as bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n{extra}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(path: str, key: str) -> bytes:
    """A GET as bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n\r\n".encode()


def run(url: str, request: Callable[[], bytes], *, seconds: float, clients: int = CLIENTS, rate: float | None = None) -> Load:
    """Keep `clients` connections busy for `seconds`, or start `rate` requests a second between them."""
    address = urlsplit(url)
    selector = selectors.EpollSelector()
    connections = [_Connection(address.hostname or "", address.port or 80) for _ in range(clients)]
    load = Load(seconds)
    began = time.perf_counter()
    ends = began + seconds
    started = 0
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    idle = deque(connections)  # in turns: the server closes a connection that is quiet for long
    busy = 0
    while True:
        now = time.perf_counter()
        if now < ends:
            due = len(idle) if rate is None else min(len(idle), int((now - began) * rate) - started)
            for _ in range(due):
                idle.popleft().send(request(), time.perf_counter())
                started += 1
                busy += 1
        elif not busy:
            break
        timeout = 5.0 if rate is None or not idle else 0.0005
        for key, _ in selector.select(timeout):
            if key.data.receive():
                load.statuses[key.data.status] += 1
                load.latencies.append(time.perf_counter() - key.data.sent_at)
                idle.append(key.data)
                busy -= 1
    load.seconds = time.perf_counter() - began
    for connection in connections:
        connection.socket.close()
    selector.close()
    return load


class _Connection:
    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.status, self.sent_at, self._buffer = 0, 0.0, b""

    def send(self, request: bytes, now: float) -> None:
        self.sent_at, self._buffer = now, b""
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what is there; tell whether the answer is complete."""
        part = self.socket.recv(262_144)
        if not part:
            raise ConnectionError("the server closed a connection")
        self._buffer += part
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return False
        at = head.lower().find(b"content-length:")
        if at >= 0:
            length = int(head[at + 15 : head.find(b"\r\n", at) if b"\r\n" in head[at:] else None])
            done = len(body) >= length
        else:
            done = body.endswith(b"0\r\n\r\n")
        if done:
            self.status = int(head[9:12])
        return done
