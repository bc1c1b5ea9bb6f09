"""Making a file: one snapshot of the tenant, row by row, under another name until it is whole."""

import errno
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from xlsxwriter.exceptions import XlsxWriterException

from gamify.db import Database
from gamify.errors import DomainError, Unavailable
from gamify.models import Export
from gamify.services import export_contents, export_files, export_formats, exports, schedules
from gamify.services.export_contents import Content
from gamify.services.export_formats import Writer

PULSE = 1.0  # seconds between two words of how far it is
LOOK_AFTER = 200  # rows between two looks at the clock
FULL = (errno.ENOSPC, errno.EDQUOT)


class Superseded(Exception):
    """Nobody wants what this run makes: the export is cancelled, deleted, or made by another run."""


def make(database: Database, root: Path, tenant_id: int, export_id: int) -> Iterator[None]:
    """Make an export's file under the folder `root`. It yields where it may be stopped; then it begins again.

    Raises `Unavailable`, after which it begins again as well, and whatever is a mistake. Why it failed stands in its row.
    """
    with database.transaction(tenant_id) as session:
        export = exports.begin(session, tenant_id, export_id, now=datetime.now(UTC))
    if export is None:
        return
    try:
        with _failing(database, export), export_files.making(root, tenant_id, export_id, export.run) as folder:
            yield from _make(database, root, export, folder)
    except Superseded:
        return


@contextmanager
def _failing(database: Database, export: Export) -> Iterator[None]:
    """Write down why a run cannot come to its end; what somebody can mend is no mistake."""
    try:
        yield
    except (Superseded, Unavailable):
        raise
    except DomainError as error:
        _fail(database, export, str(error))
    except Exception as error:
        _fail(database, export, _in_words(error))
        raise


def _make(database: Database, root: Path, export: Export, folder: Path) -> Iterator[None]:
    chosen = export_formats.known(export.format)
    draft = folder / f"export.{chosen.ending}"
    with database.snapshot(export.tenant_id) as session:
        content = export_contents.of(session, export.tenant_id, export.kind, export.wanted)
        _note(database, export, expected_count=content.expected)
        writer = chosen.open(draft, content.columns, export.title, content.zone)
        row_count = yield from _write(database, export, content, writer)
    writer.close()
    export_files.settle(draft)
    yield
    with database.transaction(export.tenant_id) as session:
        if not exports.finish(session, export, row_count=row_count, size=draft.stat().st_size, now=datetime.now(UTC)):
            raise Superseded
        schedules.announce(session, export)
        # The last step before the commit: whoever is killed in between begins again and puts the same in the same place.
        draft.replace(export_files.place(root, export.tenant_id, export.id, chosen.ending))


def _write(database: Database, export: Export, content: Content, writer: Writer) -> Generator[None, None, int]:
    """Write the rows; return how many. Now and then it says how far it is."""
    count, told_at, is_whole = 0, monotonic(), False
    try:
        for row in content.rows:
            if row is not None:
                writer.add(row)
                count += 1
            if (row is None or count % LOOK_AFTER == 0) and monotonic() - told_at >= PULSE:
                _note(database, export, row_count=count)
                told_at = monotonic()
                yield
        is_whole = True
    finally:
        if not is_whole:
            writer.drop()
    return count


def _note(database: Database, export: Export, **values: Any) -> None:
    with database.transaction(export.tenant_id) as session:
        if not exports.note(session, export, **values):
            raise Superseded


def _fail(database: Database, export: Export, why: str) -> None:
    with database.transaction(export.tenant_id) as session:
        now = datetime.now(UTC)
        if not exports.fail(session, export, why, now=now):
            raise Superseded
        if export.schedule_id is not None:
            schedules.note_failure(session, export.tenant_id, export.schedule_id, why, now=now)


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in FULL:
        return "There is no room left where exports are kept."
    if isinstance(error, (OSError, XlsxWriterException)):
        return "The folder where exports are kept cannot be written to."
    return "This is a mistake of ours; whoever runs the platform finds it among the jobs that have failed."
