"""An archive as a tenant: all of it in one transaction, verified before it is there."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import IO, Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from gamify import queue
from gamify.db import Database, act_as
from gamify.errors import FieldError, Invalid
from gamify.models import ApiKey, Dimension, Recalculation, Tenant, User
from gamify.services import audit, passwords, rollups, tenants, users, verification, zones
from gamify.services.archives.container import Reader, reading
from gamify.services.archives.parts import MODES, OF_TENANT, PARTS, PEOPLE, TENANTS, Part
from gamify.services.audit import Actor

AT_ONCE = 1_000  # lines a statement
STATUSES = ("active", "suspended")
# Keys whose successor may come after them.
SUCCESSORS = text("""
    UPDATE api_keys AS old SET replaced_by = new.id
    FROM json_to_recordset(CAST(:lines AS json)) AS l (prefix text, replaced_by text)
    JOIN api_keys AS new ON new.tenant_id = :tenant_id AND new.prefix = l.replaced_by
    WHERE old.tenant_id = :tenant_id AND old.prefix = l.prefix
""")
LAST = text("SELECT max(created_at) FROM ledger_entries WHERE tenant_id = :tenant_id")


class Restored(NamedTuple):
    """What has come out of an archive."""

    slug: str
    entry_count: int
    key_count: int  # whose secrets are not in the archive: they are revoked
    person_count: int  # without passwords: they ask for a reset
    known_emails: list[str]  # of people who have a sign-in here already, so that they got no other


def restore(
    database: Database,
    file: IO[bytes],
    *,
    slug: str | None = None,
    actor: Actor,
    now: datetime,
    progress: Callable[[int, int], None] = lambda _count, _total: None,
) -> Restored:
    """Make a tenant and its sandbox of an archive, under its own slug or another; all of it or nothing.

    Checksums are compared first; in the end the ledger is verified, and an archive that does not add up is refused. `progress`
    is told how many lines have been read since the last time, of how many. Raises `Invalid`, and `Conflict` for a slug that is
    taken.
    """
    with reading(file) as archive, database.transaction() as session:
        archive.check([TENANTS, PEOPLE, *(f"{mode}/{part.file}" for mode in MODES for part in PARTS)])
        session.execute(text("SET LOCAL statement_timeout = 0"))
        try:
            both = _tenants(session, archive, slug)
            people, known = _people(session, archive, both[0], now=now)
            _fill(session, archive, both, people, progress)
        except (DataError, IntegrityError, ValueError) as error:
            raise _invalid("Its lines do not fit together, or hold what cannot be.") from error
        for tenant in both:
            _settle(session, tenant, now=now)
        said = {"name": both[0].name, "archived_as": archive.manifest.get("slug")}
        for log in (None, both[0].id):
            audit.record(session, log, actor, action="tenant.import", subject=both[0].slug, after=said)
        entries, keys = (_line_count(archive, name) for name in ("ledger_entries.jsonl", "api_keys.jsonl"))
        return Restored(both[0].slug, entries, keys, person_count=len(people), known_emails=known)


def _line_count(archive: Reader, name: str) -> int:
    return sum(archive.line_counts[f"{mode}/{name}"] for mode in MODES)


def _tenants(session: Session, archive: Reader, slug: str | None) -> tuple[Tenant, Tenant]:
    """Make both rows."""
    told = {line.get("mode"): line for line in _objects(archive, TENANTS)}
    if set(told) != set(MODES):
        raise _invalid(f"{TENANTS} must have a line for live and one for test.")
    slug = tenants.claim(session, slug or str(told["live"].get("slug")))
    made: list[Tenant] = []
    for mode in MODES:
        values = {name: told[mode].get(name) for name in OF_TENANT} | {"slug": slug}
        if values["status"] not in STATUSES or not zones.exists(str(values["time_zone"])):
            raise _invalid(f"{TENANTS} has a status or a time zone that is not known here.")
        tenants.check_name(str(values["name"]))
        created_at = datetime.fromisoformat(str(values["created_at"]))
        tenant = Tenant(**values | {"created_at": created_at}, sandbox_of=made[0].id if made else None)
        session.add(tenant)
        session.flush()
        made.append(tenant)
    return made[0], made[1]


def _people(session: Session, archive: Reader, tenant: Tenant, *, now: datetime) -> tuple[dict[str, int], list[str]]:
    """Make people who can ask for a password; return their new numbers by the archived ones, and who has a sign-in already."""
    numbers, known = {}, []
    for line in _objects(archive, PEOPLE):
        email, removed_at = str(line.get("email")), _time(line.get("removed_at"))
        if problem := users.email_problem(email):
            raise Invalid([problem])
        if removed_at is None and users.find(session, email):
            removed_at = now
            known.append(email)
        values = {"email": email, "role": line.get("role"), "removed_at": removed_at, "created_at": _time(line.get("created_at"))}
        user = User(tenant_id=tenant.id, password_hash=passwords.digest(passwords.make()), **values)
        session.add(user)
        session.flush()
        numbers[str(line.get("number"))] = user.id
    return numbers, known


def _fill(
    session: Session,
    archive: Reader,
    both: Sequence[Tenant],
    people: dict[str, int],
    progress: Callable[[int, int], None],
) -> None:
    total = sum(archive.line_counts.values())
    for mode, tenant in zip(MODES, both, strict=True):
        act_as(session, tenant.id)
        for part in PARTS:
            for count in _write(session, archive, part, mode=mode, tenant_id=tenant.id, people=people):
                progress(count, total)


def _write(session: Session, archive: Reader, part: Part, *, mode: str, tenant_id: int, people: dict[str, int]) -> Iterator[int]:
    """Take the lines of a file into the tenant; yield how many each time."""
    statement, values = text(part.write), {"tenant_id": tenant_id, "people": json.dumps(people)}
    successions = []
    for lines in archive.pieces(f"{mode}/{part.file}", at_once=AT_ONCE):
        session.execute(statement, values | {"lines": f"[{','.join(lines)}]"})
        if part.model is ApiKey:
            successions += lines
        yield len(lines)
    if successions:
        session.execute(SUCCESSORS, {"tenant_id": tenant_id, "lines": f"[{','.join(successions)}]"})


def _settle(session: Session, tenant: Tenant, *, now: datetime) -> None:
    """Derive what follows from the ledger, verify it, and queue what was still going on."""
    act_as(session, tenant.id)
    last = session.scalar(LAST, {"tenant_id": tenant.id})
    rollups.derive(session, tenant.id, until=max(now, last + timedelta(microseconds=1)) if last else now)
    if differences := verification.verify(session, tenant).differences:
        raise _invalid(f"It does not add up: {differences[0].sentence}.")
    unfinished = select(Recalculation.id).where(Recalculation.tenant_id == tenant.id, Recalculation.finished_at.is_(None))
    if session.scalar(unfinished) is not None:
        queue.defer(session, "recalculate", tenant_id=tenant.id)
    if session.scalar(select(func.count()).where(Dimension.tenant_id == tenant.id, ~Dimension.is_ready)):
        queue.defer(session, "add_dimensions", tenant_id=tenant.id)


def _objects(archive: Reader, name: str) -> Iterator[dict[str, Any]]:
    for lines in archive.pieces(name, at_once=AT_ONCE):
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError as error:
                raise _invalid(f"{name} has a line that is no JSON.") from error
            if not isinstance(found, dict):
                raise _invalid(f"{name} has a line that is no JSON object.")
            yield found


def _time(written: Any) -> datetime | None:
    return datetime.fromisoformat(written) if isinstance(written, str) else None


def _invalid(message: str) -> Invalid:
    return Invalid([FieldError("archive", message)])
