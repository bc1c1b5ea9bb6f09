"""The end of a tenant: everything of it and its sandbox goes, in many small transactions.

First both are marked as `deleting`, which is final: keys are refused from then on, and the ledger lets go of its entries.
The rest can be interrupted anywhere and is taken up by the next run.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from gamify.db import Database, act_as, translated
from gamify.errors import Conflict
from gamify.models import Tenant
from gamify.services import audit, export_files, tenants
from gamify.services.audit import Actor
from gamify.services.tenants import DELETING

AT_ONCE = 5_000  # rows a transaction

OF_TENANT = "tenant_id = :tenant_id"
OF_USERS = "user_id IN (SELECT id FROM users WHERE tenant_id = :tenant_id)"


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one table, gone through from the highest `key` down; it leads an index among those of a tenant."""

    table: str
    key: str
    condition: str = OF_TENANT


# Whatever refers to another comes before it. Of entries the newest go first, for reversals name older ones.
PARTS = (
    _Part("key_digests", "api_key_id"),
    _Part("rollup_progress", "tenant_id"),
    _Part("ledger_quarters", "quarter"),
    _Part("tier_quarters", "quarter"),
    _Part("tier_flow_quarters", "quarter"),
    _Part("word_quarters", "quarter"),
    _Part("words", "id"),
    _Part("activity_days", "day"),
    _Part("award_size_days", "day"),
    _Part("balance_standings", "step"),
    _Part("tier_standings", "tier"),
    _Part("participant_standings", "participant_id"),
    _Part("request_months", "month"),
    _Part("exports", "id"),
    _Part("report_schedules", "id"),
    _Part("saved_reports", "id"),
    _Part("point_costs", "valid_from"),
    _Part("dimensions", "number"),
    _Part("ledger_entries", "id"),
    _Part("idempotency_keys", "key"),
    _Part("participant_details", "participant_id"),
    _Part("erasures", "participant_id"),
    _Part("tier_holds", "participant_id"),
    _Part("tier_changes", "participant_id"),
    _Part("participants", "id"),
    _Part("recalculations", "id"),
    _Part("ladder_drafts", "revision"),
    _Part("tiers", "ladder_version"),
    _Part("ladders", "version"),
    _Part("api_keys", "id"),
    _Part("one_time_links", "digest", f"({OF_TENANT} OR {OF_USERS})"),
    _Part("sessions", "user_id", OF_USERS),
    _Part("users", "id"),
    _Part("audit_entries", "id"),
)
TABLES = tuple(part.table for part in PARTS)


def begin(session: Session, slug: str, *, actor: Actor) -> Sequence[Tenant]:
    """Put a tenant and its sandbox out of use for good, and return both; begun before, it goes on.

    The operators' log keeps this change, and with it the only word of the tenant. Raises `NotFound`.
    """
    found = tenants.both(session, slug)
    if found[0].status != DELETING:
        for tenant in found:
            tenant.status = DELETING
        session.flush()
        said = {"name": found[0].name}
        audit.record(session, None, actor, action="tenant.delete", subject=slug, before=said)
    return found


def check_rights(database: Database) -> None:
    """Raise `Conflict` unless the owner's login may delete: the app's may not."""
    with _as_owner(database) as session:
        may = "SELECT bool_and(has_table_privilege(name, 'DELETE')) FROM unnest(CAST(:tables AS text[])) AS name"
        if not session.scalar(text(may), {"tables": [*TABLES, "tenants"]}):
            raise Conflict("Only the owner of the tables can delete a tenant; set DATABASE_OWNER_URL.")


def size(database: Database, tenant_id: int) -> int:
    """How many rows there are to delete."""
    with _as_owner(database, tenant_id) as session:
        counts = (f"(SELECT count(*) FROM {part.table} WHERE {part.condition})" for part in PARTS)  # noqa: S608  # our own names
        total: int = session.scalars(text(f"SELECT {' + '.join(counts)}"), {"tenant_id": tenant_id}).one()
        return total


def sweep(database: Database, tenant_id: int, *, progress: Callable[[int], None] = lambda _: None) -> None:
    """Delete everything of a tenant that `begin` has marked but its own row. `progress` is told of each transaction's rows."""
    for part in PARTS:
        for count in _sweep_part(database, tenant_id, part):
            progress(count)


def remove_files(folder: Path, both: Sequence[Tenant]) -> None:
    """Remove the exports of a tenant and its sandbox from where they lie. Their rows are gone by then: nobody makes new ones."""
    for tenant in both:
        export_files.remove_all(folder, tenant.id)


def finish(database: Database, both: Sequence[Tenant]) -> None:
    """Delete the rows of the tenant and its sandbox, and what was still written while `sweep` went on."""
    with _as_owner(database) as session:
        for tenant in reversed(both):  # the sandbox refers to the live one
            # Nothing new can refer to the tenant any more, and movements that have begun come to their end.
            session.execute(select(Tenant.id).where(Tenant.id == tenant.id).with_for_update())
            session.execute(text("SELECT pg_advisory_xact_lock(1, hashint8(:tenant_id))"), {"tenant_id": tenant.id})
            act_as(session, tenant.id)
            for part in PARTS:
                session.execute(text(f"DELETE FROM {part.table} WHERE {part.condition}"), {"tenant_id": tenant.id})  # noqa: S608
            session.execute(text("DELETE FROM tenants WHERE id = :tenant_id"), {"tenant_id": tenant.id})


def _sweep_part(database: Database, tenant_id: int, part: _Part) -> Iterator[int]:
    """Delete `AT_ONCE` rows a transaction; yield how many each time. Going on below the last key spares the dead rows."""
    edge: Any = None
    while True:
        below = f"AND {part.key} <= :edge" if edge is not None else ""
        doomed = f"SELECT ctid FROM {part.table} WHERE {part.condition} {below} ORDER BY {part.key} DESC LIMIT {AT_ONCE}"  # noqa: S608
        delete = f"DELETE FROM {part.table} WHERE {part.condition} AND ctid = ANY (ARRAY({doomed})) RETURNING {part.key}"  # noqa: S608
        with _as_owner(database, tenant_id) as session:
            gone = session.scalars(text(delete), {"tenant_id": tenant_id} | ({"edge": edge} if below else {})).all()
        if not gone:
            return
        edge = min(gone)
        yield len(gone)


@contextmanager
def _as_owner(database: Database, tenant_id: int | None = None) -> Iterator[Session]:
    """One transaction of the tables' owner, whom policies bind as well."""
    with translated(), Session(database.owner_engine, expire_on_commit=False) as session, session.begin():
        if tenant_id is not None:
            act_as(session, tenant_id)
        yield session
