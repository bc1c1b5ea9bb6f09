"""Lines on their way, in a temporary table of one connection: what they say together, and beside what is there already.

However long a file is, it is not in memory; and what is checked is what is written.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.services.imports.lines import Line

MAKE = """
    CREATE TEMP TABLE import_lines (
        line bigint PRIMARY KEY,
        participant text COLLATE "C" NOT NULL,
        points bigint,
        key text COLLATE "C",
        fingerprint bytea,
        spent bigint,
        at timestamptz,
        reason text,
        metadata json,
        name text,
        standing text NOT NULL, -- what becomes of it
        other bigint, -- the line, or the points, that the standing speaks of
        share bigint -- of the lines that are written in one transaction
    )
"""
INTO = """
    COPY import_lines (line, participant, points, key, fingerprint, spent, at, reason, metadata, name, standing) FROM STDIN
"""
NEW, REPEATED, KNOWN, BAD, LEFT_OUT = "new", "repeated", "known", "bad", "left out"
# What becomes of a line that cannot be written: the field that is to blame, and a sentence; {other} is filled in.
REFUSALS = {
    "clashing": ("idempotency_key", "Stands on line {other} already, for something else."),
    "second": ("participant_id", "Has an opening balance on line {other} already, another one."),
    "taken": ("idempotency_key", "Has been used before, for something else."),
    "opened": ("participant_id", "Has an opening balance already, another one."),
    "occupied": ("participant_id", "Has entries already; a history can only be given to who has none."),
    "held": ("participant_id", "Has been pinned to a tier; a history can only be given to whose tier nobody has changed."),
    "overdrawn": ("amount", "Is more than there is: {other} points, by the lines before it."),
    LEFT_OUT: ("participant_id", "Is left out as a whole, because of another line of theirs."),
}

REPEATS = """
    UPDATE import_lines AS l
    SET standing = CASE WHEN l.fingerprint = first.fingerprint THEN 'repeated' ELSE :clashing END, other = first.line
    FROM (SELECT key, min(line) AS line FROM import_lines WHERE standing = 'new' GROUP BY key HAVING count(*) > 1) AS twice
    JOIN import_lines AS first ON first.line = twice.line
    WHERE l.standing = 'new' AND l.key = twice.key AND l.line > first.line
"""
KNOWN_KEYS = """
    UPDATE import_lines AS l
    SET standing = CASE WHEN l.fingerprint = k.fingerprint AND k.entry_id IS NOT NULL THEN 'known' ELSE :taken END
    FROM idempotency_keys AS k
    WHERE k.tenant_id = :tenant_id AND k.key = l.key AND l.standing = 'new'
          AND (CAST(:share AS bigint) IS NULL OR l.share = :share)
"""
OCCUPIED = """
    UPDATE import_lines AS l SET standing = CASE WHEN p.entry_count > 0 THEN 'occupied' ELSE 'held' END
    FROM participants AS p
    WHERE p.tenant_id = :tenant_id AND p.external_id = l.participant AND l.standing = 'new'
          AND (CAST(:share AS bigint) IS NULL OR l.share = :share)
          AND (p.entry_count > 0 OR p.is_held OR EXISTS (
              SELECT FROM tier_changes AS c WHERE c.tenant_id = :tenant_id AND c.participant_id = p.id
              AND (c.is_kept OR c.cause NOT IN ('registered', 'published'))
          ))
"""
OVERDRAWN = """
    UPDATE import_lines AS l SET standing = 'overdrawn', other = GREATEST(summed.after - summed.points, 0)
    FROM (
        SELECT line, points, sum(points) OVER (PARTITION BY participant ORDER BY at, line) AS after
        FROM import_lines WHERE standing = 'new'
    ) AS summed
    WHERE l.line = summed.line AND summed.points < 0 AND summed.after < 0
"""
LEAVE_OUT = """
    UPDATE import_lines AS l SET standing = 'left out'
    WHERE l.standing = 'new' AND (CAST(:share AS bigint) IS NULL OR l.share = :share) AND l.participant IN (
        SELECT participant FROM import_lines
        WHERE standing <> ALL (:fine) AND (CAST(:share AS bigint) IS NULL OR share = :share)
    )
"""
SHARE = """
    UPDATE import_lines AS l SET share = cut.share
    FROM (
        SELECT participant, floor((sum(count(*)) OVER (ORDER BY participant) - count(*)) / :at_once) AS share
        FROM import_lines WHERE standing = 'new' GROUP BY participant
    ) AS cut
    WHERE l.standing = 'new' AND l.participant = cut.participant
"""
FINE = [NEW, REPEATED, KNOWN]


class Remark(NamedTuple):
    """What is to be said of a line; `is_bad` unless it just changes nothing."""

    line: int
    field: str
    message: str
    is_bad: bool = True


def make(session: Session) -> None:
    """Make the empty table."""
    session.execute(text(MAKE))


def drop(session: Session) -> None:
    """Drop it: the connection lives longer."""
    session.execute(text("DROP TABLE IF EXISTS import_lines"))


def put(session: Session, lines: Iterable[Line | tuple[int, str]]) -> None:
    """Put lines into it; of a bad one, the number and the participant whose it would be."""
    connection: psycopg.Connection[Any] = session.connection().connection.driver_connection  # type: ignore[assignment]  # psycopg's
    with connection.cursor() as cursor, cursor.copy(INTO) as copy:
        for line in lines:
            copy.write_row((*line, NEW) if isinstance(line, Line) else (*line, *[None] * (len(Line._fields) - 2), BAD))


def compare(session: Session, tenant_id: int, *, is_history: bool) -> None:
    """See which lines are repeated, known, or cannot be written, by each other and by what is there."""
    session.execute(text("ANALYZE import_lines"))
    session.execute(text(REPEATS), {"clashing": "clashing" if is_history else "second"})
    compare_share(session, tenant_id, None, is_history=is_history)
    if is_history:
        session.execute(text(OVERDRAWN))


def compare_share(session: Session, tenant_id: int, share: int | None, *, is_history: bool) -> None:
    """Look again at a share that is about to be written: others may have written meanwhile."""
    values = {"tenant_id": tenant_id, "share": share, "taken": "taken" if is_history else "opened"}
    session.execute(text(KNOWN_KEYS), values)
    if is_history:
        session.execute(text(OCCUPIED), values)


def leave_out(session: Session, share: int | None = None) -> None:
    """Leave out all lines of whoever has a bad one: a history with a hole could not be mended afterwards."""
    session.execute(text(LEAVE_OUT), {"fine": FINE, "share": share})


def cut(session: Session, *, at_once: int) -> list[int]:
    """Cut new lines into shares of about so many, each with all lines of its participants; return their numbers."""
    session.execute(text(SHARE), {"at_once": at_once})
    session.execute(text("CREATE INDEX ON import_lines (share)"))
    session.execute(text("ANALYZE import_lines"))
    found = session.scalars(text("SELECT DISTINCT share FROM import_lines WHERE share IS NOT NULL ORDER BY share"))
    return [int(share) for share in found]


def counts(session: Session) -> dict[str, int]:
    """How many lines there are of each standing."""
    found = session.execute(text("SELECT standing, count(*) AS line_count FROM import_lines GROUP BY 1"))
    return {row.standing: row.line_count for row in found}


def participant_count(session: Session) -> int:
    """How many participants have new lines."""
    found: int = session.scalars(text("SELECT count(DISTINCT participant) FROM import_lines WHERE standing = 'new'")).one()
    return found


def remarks(session: Session, *, most: int) -> Iterator[Remark]:
    """What is to be said of lines, in their order, but for those that were bad by themselves."""
    said = "SELECT line, standing, other FROM import_lines WHERE standing <> ALL (:silent) ORDER BY line LIMIT :most"
    for line, standing, other in session.execute(text(said), {"silent": [NEW, KNOWN, BAD], "most": most}):
        if standing == REPEATED:
            yield Remark(line, "line", f"Is the same as line {other}, and changes nothing.", is_bad=False)
        else:
            field, message = REFUSALS[standing]
            yield Remark(line, field, message.format(other=f"{other:,}" if standing == "overdrawn" else other))
