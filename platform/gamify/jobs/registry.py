"""Which jobs there are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Run = Callable[..., Iterable[None] | None]

JOBS: dict[str, "Job"] = {}


@dataclass(frozen=True, slots=True)
class Job:
    """Something that a worker can do, by the name under which services queue it."""

    name: str
    run: Run
    every: str | None  # as in a crontab, UTC
    is_for_each_tenant: bool


def job(*, every: str | None = None, for_each_tenant: bool = False) -> Callable[[Run], Run]:
    """Make a function a job of its own name. It gets the `Deployment`, and the arguments it was queued with.

    A long one is a generator: it yields wherever it may be stopped, for it goes on by being called again. Any job may be
    called again after a kill. With `for_each_tenant`, every tenant and sandbox has its turn (`tenant_id=`), and one
    that fails does not keep the others from theirs.
    """

    def register(run: Run) -> Run:
        name = getattr(run, "__name__", "")
        if name in JOBS:
            raise ValueError(f"There are two jobs {name}.")
        JOBS[name] = Job(name, run, every, for_each_tenant)
        return run

    return register


def names() -> list[str]:
    """The names of all jobs."""
    return sorted(JOBS)


def arguments_of(given: dict[str, Any]) -> dict[str, Any]:
    """What a job was queued with, without the time that is added to whatever comes by the clock."""
    return {name: value for name, value in given.items() if name != "timestamp"}
