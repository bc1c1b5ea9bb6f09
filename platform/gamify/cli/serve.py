"""`gamify serve`: the production server."""

import multiprocessing
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from multiprocessing import resource_tracker
from typing import Any

import click
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from gamify.cli.companion import Companion
from gamify.cli.demo import describe, fill
from gamify.cli.shared import with_deployment
from gamify.deployment import Deployment
from gamify.services.demo import Demo

THREADS = 8  # a worker; few, because only one of them runs Python at a time
PORTS_TO_TRY = 50
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # only compared with; where to reach them
GRACE = 10  # seconds a worker may take to finish what it has begun


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--workers", default=lambda: min(4, len(os.sched_getaffinity(0))), type=click.IntRange(1), help="Processes; one a core."
)
@click.option("--demo", "is_demo", is_flag=True, help="Fill the demo tenant first; take the next port if this one is taken.")
@click.option(
    "--with-worker/--no-worker", "has_worker", default=None, help="Run background jobs too; as a rule with an embedded database."
)
@with_deployment
def serve(here: Deployment, host: str, port: int, workers: int, is_demo: bool, has_worker: bool | None) -> None:
    """Serve the API and the dashboard."""
    demo = fill(here) if is_demo else None
    free = next((p for p in range(port, port + (PORTS_TO_TRY if is_demo else 1)) if _is_free(host, p)), None)
    if free is None:
        raise click.ClickException(f"Port {port} on {host} is taken; choose another with --port.")
    _lend_servers(here)
    _answer_to(here, host)
    here.database.close()  # nothing open is shared with the workers
    greeting = f"Gamify is ready at http://{_in_url(host)}:{free}"
    if is_demo:
        moved = "" if free == port else f" (port {port} is taken)"
        greeting = _greeting(f"http://{_in_url(host)}:{free}", demo, moved)
    _hear_ctrl_c_alone()
    with closing(Companion()) as companion:
        # Beside a server that starts, it would double the time that takes.
        then = companion.start if _wants_worker(here, has_worker) else None
        threading.Thread(target=_greet_when_ready, args=(host, free, greeting, then), daemon=True).start()
        server("gamify.cli.process:app", host=host, port=free, workers=workers).serve()


def server(factory: str, *, host: str, port: int, workers: int) -> Any:
    """Return the server for the app that `factory` makes; its `serve` returns after SIGINT or SIGTERM."""
    multiprocessing.set_start_method("spawn", force=True)  # a fork would share our hold on the embedded servers
    return Granian(
        factory,
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        workers=workers,
        blocking_threads=THREADS,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=GRACE,
        log_level=LogLevels.error,
    )


def _hear_ctrl_c_alone() -> None:
    """Make Ctrl-C a SIGTERM to this process, which then ends its workers in order.

    A terminal sends SIGINT to all of them; a worker that hears it while it starts dies with a traceback, and one that
    hears both signals takes its whole grace to end.
    """
    main = threading.get_ident()  # no other thread would act on a signal
    resource_tracker.ensure_running()  # started later, it would undo the next line
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # threads and workers inherit this

    def wait() -> None:
        while True:
            signal.sigwait({signal.SIGINT})
            signal.pthread_kill(main, signal.SIGTERM)

    threading.Thread(target=wait, name="ctrl-c", daemon=True).start()


def _wants_worker(here: Deployment, has_worker: bool | None) -> bool:
    return here.settings.database_url is None if has_worker is None else has_worker


def _lend_servers(here: Deployment) -> None:
    """Tell the workers where the embedded servers are, for whichever URL is not set."""
    settings = here.settings
    if settings.database_url is None:
        os.environ["DATABASE_URL"] = here.servers.database_url
    if settings.redis_url is None:
        os.environ["REDIS_URL"] = here.servers.redis_url


def _answer_to(here: Deployment, host: str) -> None:
    """Whoever is told to listen at an address may be called by it; all addresses are no name."""
    if host not in EVERY_ADDRESS:
        os.environ.pop("ALLOWED_HOSTS_FILE", None)
        os.environ["ALLOWED_HOSTS"] = ",".join([*here.settings.allowed_hosts, _in_url(host)])


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _greet_when_ready(host: str, port: int, greeting: str, then: Callable[[], None] | None) -> None:
    reachable = EVERY_ADDRESS.get(host, host)
    while True:
        try:
            with urllib.request.urlopen(f"http://{_in_url(reachable)}:{port}/healthz", timeout=5):
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    click.echo(greeting)
    if then is not None:
        then()


def _greeting(url: str, demo: Demo | None, moved: str) -> str:
    lines = ["", f"Gamify is ready at {url}{moved}", f"Dashboard at {url}/dashboard/", f"API documentation at {url}/docs", ""]
    if demo is None:
        lines.append("The demo tenant is there already; its keys were shown when it was made.")
    else:
        body = '{"participant_id": "user_123", "amount": 100, "reason": "Purchase completed"}'
        lines += [describe(demo), "", "Try it:", ""]
        lines += [
            f"curl -X POST {url}/api/v1/gamify/points/award \\",
            f"  -H 'X-API-Key: {demo.live_key}' -H 'Content-Type: application/json' \\",
            f"  -d '{body}'",
        ]
    return "\n".join([*lines, "", "Ctrl-C stops everything."])


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
