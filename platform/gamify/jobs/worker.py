"""The worker: runs queued jobs until it is told to stop, and outlives any absence of the database."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import procrastinate
import psycopg
from procrastinate.exceptions import ConnectorException

from gamify.db import SESSION, plain_url
from gamify.deployment import Deployment
from gamify.errors import Unavailable
from gamify.jobs.registry import JOBS, Job, arguments_of
from gamify.jobs.turn import Retries, take
from gamify.services import job_records

log = logging.getLogger(__name__)

CONCURRENCY = 4
GRACE = 8.5  # seconds for the jobs that are going on when it is to stop; a service has ten all in all
LOOK_EVERY = 5.0  # seconds between looks for jobs: word of a new one comes at once, but not of one that is due or taken back
HEARTBEAT = 5.0  # seconds between signs of life
UNHEARD_FOR = 20.0  # seconds without one, and a worker is dead
PAUSE = 1.0  # seconds before the database is tried again
CONNECTIONS = 4  # for the queue itself, one of them to listen; jobs have their own
FAULTS = (ConnectorException, psycopg.Error, Unavailable)

Prepare = Callable[[], None]


class Worker:
    """Takes jobs from the queue, `concurrency` at a time."""

    def __init__(self, here: Deployment, *, concurrency: int, prepare: Prepare, greet: Callable[[], None]) -> None:
        self._here, self._concurrency = here, concurrency
        self._prepare, self._greet = prepare, greet
        self._stopping = threading.Event()
        self._has_met_fault = False

    def run(self, *, has_parent: bool = False) -> None:
        """Work until SIGTERM or SIGINT or, with a parent, until that one has closed our standard input by ending."""
        _quieten()
        asyncio.run(self._run(has_parent=has_parent))

    async def _run(self, *, has_parent: bool) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(self._concurrency + 2, thread_name_prefix="job"))
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        if has_parent:
            loop.add_reader(sys.stdin.fileno(), told.set)
        stop = asyncio.create_task(told.wait())
        stop.add_done_callback(lambda _: self._stopping.set())
        while not stop.done():
            try:
                await self._work(stop)
            except FAULTS as error:
                self._tell(error)
            await asyncio.wait({stop}, timeout=PAUSE)

    async def _work(self, stop: asyncio.Task[Any]) -> None:
        await asyncio.to_thread(self._prepare)
        queue = self._queue()
        async with queue.open_async():
            self._greet_again()
            working = asyncio.create_task(self._take_jobs(queue))
            looking = asyncio.create_task(self._take_up_stalled())
            await asyncio.wait({working, looking, stop}, return_when=asyncio.FIRST_COMPLETED)
            for part in (working, looking):
                part.cancel()
            await self._end(working, stop)
            ended = await asyncio.gather(working, looking, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):  # and no cancellation
                raise error

    async def _end(self, working: asyncio.Task[None], stop: asyncio.Task[Any]) -> None:
        """Let the jobs come to where they can be let go. One that does not is left to its fate, when there is no more time."""
        await asyncio.wait({working, stop}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({working}, timeout=GRACE)
        if not working.done():
            log.warning("a job has not let go in time; whoever looks next takes it up again")
            os._exit(0)  # its thread would keep this process

    async def _take_jobs(self, queue: procrastinate.App) -> None:
        await queue.run_worker_async(
            queues=[*JOBS],
            concurrency=self._concurrency,
            install_signal_handlers=False,
            fetch_job_polling_interval=LOOK_EVERY,
            abort_job_polling_interval=3600,  # nobody aborts jobs
            update_heartbeat_interval=HEARTBEAT,
            stalled_worker_timeout=UNHEARD_FOR,
        )

    async def _take_up_stalled(self) -> None:
        """Queue again what dead workers have left. Not a job itself, which might be among those."""
        while True:
            for job_id in await asyncio.to_thread(self._stalled):
                log.warning("a job whose worker is gone is taken up again", extra={"job_id": job_id})
            await asyncio.sleep(LOOK_EVERY)

    def _stalled(self) -> list[int]:
        with self._here.database.transaction() as session:
            return job_records.take_up(session, unheard_for=UNHEARD_FOR)

    def _queue(self) -> procrastinate.App:
        connector = procrastinate.PsycopgConnector(
            conninfo=plain_url(self._here.database.url),
            kwargs={"connect_timeout": 3, "application_name": "gamify worker"},
            min_size=1,
            max_size=CONNECTIONS,
            timeout=5,
            configure=_prepare_connection,
        )
        queue = procrastinate.App(connector=connector)
        for job in JOBS.values():
            self._register(queue, job)
        return queue

    def _register(self, queue: procrastinate.App, job: Job) -> None:
        def run(context: procrastinate.JobContext, /, **given: Any) -> None:
            take(job, self._here, context.job.id or 0, arguments_of(given), is_stopping=self._stopping.is_set)

        # What comes by the clock waits in the queue once, and runs once at a time.
        lock = job.name if job.every else None
        task = queue.task(name=job.name, queue=job.name, lock=lock, queueing_lock=lock, retry=Retries(), pass_context=True)(run)
        if job.every:
            queue.periodic(cron=job.every)(cast("Any", task))  # it drops the time it is given

    def _greet_again(self) -> None:
        if self._has_met_fault:
            log.warning("the database is back")
        self._has_met_fault = False
        self._greet()

    def _tell(self, error: BaseException) -> None:
        if not self._has_met_fault:
            log.warning(
                "the worker waits for the database", extra={"reason": str(error) if isinstance(error, Unavailable) else ""}
            )
        self._has_met_fault = True


async def _prepare_connection(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)
    await connection.execute(SESSION)


def _quieten() -> None:
    """Of what the queue and its connections would log, leave what we do not say ourselves."""
    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    logging.getLogger("procrastinate.worker").setLevel(logging.CRITICAL)
    logging.getLogger("procrastinate.worker.worker").setLevel(logging.ERROR)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
