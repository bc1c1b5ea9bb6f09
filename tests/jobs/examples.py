"""Jobs for tests alone. Run as a program, it is the command line in a deployment that has them too."""

import time
from collections.abc import Iterator

from gamify.cli import main
from gamify.deployment import Deployment
from gamify.errors import Unavailable
from gamify.jobs.registry import job
from sqlalchemy import text

MARK = text("INSERT INTO job_marks (name, tenant_id) VALUES (:name, :tenant_id)")
TABLE = """
    CREATE TABLE IF NOT EXISTS job_marks (id bigserial, name text, tenant_id bigint, at timestamptz DEFAULT clock_timestamp());
    GRANT ALL ON job_marks TO gamify_app; GRANT ALL ON SEQUENCE job_marks_id_seq TO gamify_app
"""


def mark(here: Deployment, name: str, tenant_id: int | None = None) -> None:
    with here.database.transaction() as session:
        session.execute(MARK, {"name": name, "tenant_id": tenant_id})


@job()
def example_mark(here: Deployment, *, name: str, tenant_id: int | None = None) -> None:
    mark(here, name, tenant_id)


@job()
def example_steps(here: Deployment, *, name: str, count: int, tenant_id: int | None = None) -> Iterator[None]:
    """Makes `count` marks in all, however often it is begun anew."""
    while True:
        with here.database.transaction() as session:
            done = session.scalar(text("SELECT count(*) FROM job_marks WHERE name = :name"), {"name": name})
        if done == count:
            return
        mark(here, name, tenant_id)
        time.sleep(0.05)
        yield


@job()
def example_mistake(here: Deployment, **_: object) -> None:
    raise KeyError("a secret that nobody should read")


@job()
def example_fault(here: Deployment, *, name: str) -> None:
    """Meets a fault of the database on its first two goes."""
    mark(here, name)
    with here.database.transaction() as session:
        goes = session.scalar(text("SELECT count(*) FROM job_marks WHERE name = :name"), {"name": name})
    if goes <= 2:
        raise Unavailable


@job()
def example_stubborn(here: Deployment, *, name: str) -> None:
    mark(here, name)
    time.sleep(60)


@job(every="* * * * * *")
def example_clock(here: Deployment) -> None:
    mark(here, "example_clock")


if __name__ == "__main__":
    main()
