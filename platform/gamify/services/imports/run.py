"""A run of an import: all lines are looked at first, then they are written in many small transactions.

It can be interrupted anywhere. What is written by then is known by its keys, so that running it again goes on from there and
leads to what one run would have.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from gamify.db import CONFLICTS, Database, act_as, retrying, translated
from gamify.errors import Conflict, FieldError
from gamify.services import audit, tenants
from gamify.services.audit import Actor
from gamify.services.imports import histories, lines, openings, sheet, staging
from gamify.services.imports.lines import Line
from gamify.services.imports.sheet import HISTORY, OPENINGS, Row, Sheet
from gamify.services.imports.staging import Remark

MOST_REMARKS = 10_000  # a file that is wrong from its first line to its last should not fill the memory
AT_ONCE = {HISTORY: histories.AT_ONCE, OPENINGS: openings.AT_ONCE}


class Report(NamedTuple):
    """What a run has found and done. Lines: new (written, or to be), known (already there, or repeated), bad, left out."""

    kind: str
    line_count: int
    new_count: int
    known_count: int
    bad_count: int
    left_out_count: int
    participant_count: int  # who have new lines
    is_stored: bool
    remarks: list[Remark]  # by line, the first `MOST_REMARKS`


def run(
    database: Database,
    tenant_id: int,
    file: IO[bytes],
    *,
    name: str,
    is_dry: bool,
    skips_bad: bool,
    actor: Actor,
    now: datetime,
    progress: Callable[[int, int], None] = lambda _count, _total: None,
) -> Report:
    """Import a file of opening balances or history; a dry run only says what would become of each line.

    Bad lines refuse the whole file, unless they are to be skipped; then all lines of their participants are left out.
    `progress` is told how many lines have been written since the last time, of how many. Raises `Invalid` for what is no such
    file at all, `Conflict` for a tenant that is being deleted, and `Unavailable`: what was written by then stays, and running it
    again goes on from there.
    """
    content = sheet.read(file)
    found = _Found(content, now=now)
    is_history = content.kind == HISTORY
    with _staged(database) as session:
        with _transaction(session, tenant_id):
            report, shares = _look(session, tenant_id, found)
        if is_dry or (report.bad_count and not skips_bad):
            return report
        if shares:
            _note(database, tenant_id, report, name=name, actor=actor)
        if not is_history:
            with _transaction(session, tenant_id):
                openings.complete(session, tenant_id)
        for share in shares:
            count = _write_history(session, tenant_id, share) if is_history else _open(session, database, tenant_id, share)
            progress(count, report.new_count)
        with session.begin():
            return _report(session, found)._replace(is_stored=True)


def _look(session: Session, tenant_id: int, found: "_Found") -> tuple[Report, list[int]]:
    """Read all lines and compare them; return what is to be said, and the shares in which good ones are written."""
    if not tenants.is_there(session, tenant_id):
        raise Conflict("The tenant is being deleted.")
    staging.make(session)
    staging.put(session, found)
    staging.compare(session, tenant_id, is_history=found.content.kind == HISTORY)
    staging.leave_out(session)
    return _report(session, found), staging.cut(session, at_once=AT_ONCE[found.content.kind])


class _Found:
    """The lines of a file as they are read once, and what was wrong with them by themselves."""

    def __init__(self, content: Sheet, *, now: datetime) -> None:
        self.content, self.now = content, now
        self.line_count = 0
        self.unowned_count = 0  # bad lines that name no participant
        self.remarks: list[Remark] = []

    def __iter__(self) -> Iterator[Line | tuple[int, str]]:
        for row in self.content.rows:
            self.line_count += 1
            read = self._read(row)
            if isinstance(read, Line):
                yield read
                continue
            if len(self.remarks) < MOST_REMARKS:
                self.remarks += [Remark(row.line, error.field, error.message) for error in read]
            if row.cells is not None and not any(error.field == "participant_id" for error in read):
                yield row.line, row.cells["participant_id"]
            else:
                self.unowned_count += 1

    def _read(self, row: Row) -> Line | list[FieldError]:
        if row.cells is None:
            return [FieldError("line", f"Has {row.cell_count} cells, which is not as many as the header.")]
        if self.content.kind == HISTORY:
            return lines.entry(row.line, row.cells, now=self.now)
        return lines.opening(row.line, row.cells)


def _report(session: Session, found: _Found) -> Report:
    counts = staging.counts(session)
    fine = {standing: counts.pop(standing, 0) for standing in staging.FINE}
    left_out = counts.pop(staging.LEFT_OUT, 0)
    remarks = sorted([*found.remarks, *staging.remarks(session, most=MOST_REMARKS)])[:MOST_REMARKS]
    return Report(
        kind=found.content.kind,
        line_count=found.line_count,
        new_count=fine[staging.NEW],
        known_count=fine[staging.KNOWN] + fine[staging.REPEATED],
        bad_count=sum(counts.values()) + found.unowned_count,
        left_out_count=left_out,
        participant_count=staging.participant_count(session),
        is_stored=False,
        remarks=remarks,
    )


def _write_history(session: Session, tenant_id: int, share: int) -> int:
    def attempt() -> int:
        with _transaction(session, tenant_id):
            return histories.write(session, tenant_id, share)

    return retrying(attempt)


def _open(session: Session, database: Database, tenant_id: int, share: int) -> int:
    with session.begin():
        openings.award(session, database, tenant_id, share)
    with _transaction(session, tenant_id):
        return openings.introduce(session, tenant_id, share)


@contextmanager
def _transaction(session: Session, tenant_id: int) -> Iterator[None]:
    """A transaction of a tenant, whose conflicts with others are the driver's own, so that it can be tried again."""
    try:
        with session.begin():
            act_as(session, tenant_id)
            session.execute(text("SET LOCAL statement_timeout = 0"))
            yield
    except DBAPIError as error:
        if isinstance(error.orig, CONFLICTS):
            raise error.orig from error
        raise


def _note(database: Database, tenant_id: int, report: Report, *, name: str, actor: Actor) -> None:
    """Write down what begins now: whoever interrupts it has changed something all the same."""
    said = {"lines": report.new_count, "participants": report.participant_count}
    with database.transaction(tenant_id) as session:
        audit.record(session, tenant_id, actor, action="points.import", subject=f"{report.kind}: {name}", after=said)


@contextmanager
def _staged(database: Database) -> Iterator[Session]:
    """A session that keeps one connection over many transactions, and the table of lines with it."""
    with translated(), database.engine.connect() as connection:
        session = Session(bind=connection, expire_on_commit=False)
        try:
            yield session
        finally:
            session.close()
            if not connection.closed and not connection.invalidated:
                with Session(bind=connection) as last, last.begin():
                    staging.drop(last)
