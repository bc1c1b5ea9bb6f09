"""Many clients at once, each with a connection of its own."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import TypeVar

import httpx
import pytest

from tests.harness import NO_TLS, Api, Server, TenantUnderTest

T = TypeVar("T")
Crowd = Callable[[int], list[Api]]
AtOnce = Callable[[Sequence[Callable[[], T]]], list[T]]


@pytest.fixture
def crowd(server: Server, tenant: TenantUnderTest) -> Iterator[Crowd]:
    """Makes that many clients of one tenant."""
    with ExitStack() as stack:

        def make(count: int) -> list[Api]:
            clients = [httpx.Client(base_url=server.url, timeout=60, verify=NO_TLS) for _ in range(count)]
            return [Api(stack.enter_context(client), tenant.key) for client in clients]

        yield make


@pytest.fixture
def at_once() -> AtOnce:
    """Runs every call in a thread of its own, all released at the same moment, and returns what they return."""

    def run(calls: Sequence[Callable[[], T]]) -> list[T]:
        ready = Barrier(len(calls))

        def go(call: Callable[[], T]) -> T:
            ready.wait(30)
            return call()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(go, calls))

    return run
