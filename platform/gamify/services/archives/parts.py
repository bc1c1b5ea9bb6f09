"""What an archive has: a file of JSON lines for each table of a tenant, and what does not go into it.

A line has the columns of its row under their names. Internal numbers mean nothing elsewhere, so rows refer to each other by
what a tenant knows: participants by their id, keys by their first characters, people by their number in `people.jsonl`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.types import TypeEngine

from gamify.models import (
    ApiKey,
    AuditEntry,
    Dimension,
    Erasure,
    IdempotencyKey,
    Ladder,
    LadderDraft,
    LedgerEntry,
    Participant,
    ParticipantDetails,
    PointCost,
    Recalculation,
    RequestMonth,
    SavedReport,
    TenantRecord,
    Tier,
    TierChange,
    TierHold,
)

DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # of SQLAlchemy
MODES = ("live", "test")
TENANTS, PEOPLE = "tenants.jsonl", "people.jsonl"
OF_TENANT = ("slug", "name", "status", "rate_limit", "requires_totp", "time_zone", "created_at")
OF_PERSON = ("number", "email", "role", "removed_at", "created_at")

# Tables that name a tenant and are in no archive, each with its reason.
LEFT_BEHIND = {
    "users": "is people.jsonl, without passwords and second factors",
    "key_digests": "would let keys of one deployment into another; digests depend on its pepper",
    "one_time_links": "invitations and resets are links to the deployment that has sent them",
    "exports": "are files of the deployment, and gone within a week",
    "report_schedules": "send mail from the deployment, to its people; they are set up anew",
    "rollup_progress": "is derived anew, like all rollups",
    "ledger_quarters": "is derived anew",
    "tier_quarters": "is derived anew",
    "tier_flow_quarters": "is derived anew",
    "words": "is derived anew",
    "word_quarters": "is derived anew",
    "activity_days": "is derived anew",
    "award_size_days": "is derived anew",
    "balance_standings": "is derived anew",
    "tier_standings": "is derived anew",
    "participant_standings": "is derived anew",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A member of a line: its name and type, how it is read from row `t`, and into which column it goes from line `l`."""

    name: str
    type: str
    read: str
    column: str
    write: str


_PARTICIPANT = Cell("participant_id", "text", "whose.external_id", "participant_id", "whose.id")
_KEY = Cell("api_key", "text", "key.prefix", "api_key_id", "key.id")
_PERSON = Cell("person", "bigint", "t.user_id", "user_id", "CAST(CAST(:people AS jsonb) ->> CAST(l.person AS text) AS bigint)")
REFERENCES = {cell.column: cell for cell in (_PARTICIPANT, _KEY, _PERSON)}


@dataclass(frozen=True)
class Part:
    """One file of a mode: the rows of a table in the order of `order`, which is the order in which they go in again."""

    file: str
    model: type[TenantRecord]
    order: str
    leaves: frozenset[str] = frozenset()
    cells: Mapping[str, Cell] = field(default_factory=dict)  # by column, where a cell is not just the column's value
    extra: tuple[Cell, ...] = ()  # members that are no columns
    joins: str = ""  # for reading
    write_joins: str = ""

    @property
    def table(self) -> str:
        """The table's name."""
        return str(self.model.__tablename__)

    @cached_property
    def all_cells(self) -> tuple[Cell, ...]:
        """The members of a line, in the order of the columns."""
        columns = [column for column in self.model.__table__.columns if column.name not in {"tenant_id", *self.leaves}]
        return (*(self._cell(column.name, column.type) for column in columns), *self.extra)

    @cached_property
    def read(self) -> str:
        """The query for a tenant's lines as JSON; `{tenant_id}` is to be filled in."""
        told = ", ".join(f'{cell.read} AS "{cell.name}"' for cell in self.all_cells)
        rows = f"SELECT {told} FROM {self.table} AS t {self._joins(self.joins, 't')} WHERE t.tenant_id = {{tenant_id}}"
        return f"SELECT row_to_json(line)::text FROM ({rows} ORDER BY {self.order}) AS line"

    @cached_property
    def write(self) -> str:
        """The statement that takes a JSON list of lines (:lines) into a tenant (:tenant_id)."""
        cells = [cell for cell in self.all_cells if cell.column]
        names = ", ".join(f'"{cell.name}" {cell.type}' for cell in self.all_cells)
        columns = ", ".join(cell.column for cell in cells)
        told = ", ".join(f'"{cell.name}"' for cell in self.all_cells)
        return f"""
            INSERT INTO {self.table} (tenant_id, {columns})
            SELECT :tenant_id, {", ".join(cell.write for cell in cells)}
            FROM ROWS FROM (json_to_recordset(CAST(:lines AS json)) AS ({names})) WITH ORDINALITY AS l ({told}, n)
            {self._joins(self.write_joins, "l")}
            ORDER BY n
        """

    def _cell(self, name: str, type_: TypeEngine[Any]) -> Cell:
        plain = Cell(name, type_.compile(dialect=DIALECT), f't."{name}"', f'"{name}"', f'l."{name}"')
        return self.cells.get(name) or REFERENCES.get(name) or plain

    def _joins(self, more: str, row: str) -> str:
        """What the cells refer to: tables of the tenant, by their numbers when reading, by what is told when writing."""
        joins = []
        names = {cell.name for cell in self.all_cells if cell in REFERENCES.values()}
        if "participant_id" in names:
            on = "whose.id = t.participant_id" if row == "t" else "whose.external_id = l.participant_id"
            joins.append(f"LEFT JOIN participants AS whose ON whose.tenant_id = {_tenant(row)} AND {on}")
        if "api_key" in names:
            on = "key.id = t.api_key_id" if row == "t" else "key.prefix = l.api_key"
            joins.append(f"LEFT JOIN api_keys AS key ON key.tenant_id = {_tenant(row)} AND {on}")
        return " ".join([*joins, more])


def _tenant(row: str) -> str:
    return "t.tenant_id" if row == "t" else ":tenant_id"


# An audit log calls a participant by their internal number, because it cannot be erased itself.
_NAMED = "CASE WHEN t.subject ~ '^participant [0-9]{{1,18}}$' THEN CAST(substr(t.subject, 13) AS bigint) END"
_SUBJECT = Cell(
    "subject",
    "text",
    "CASE WHEN named.id IS NULL THEN t.subject END",
    "subject",
    "CASE WHEN named.id IS NULL THEN COALESCE(l.subject, 'participant') ELSE 'participant ' || named.id END",
)
_ACTOR = Cell(
    "actor_id",
    "text",
    "CASE t.actor_kind WHEN 'user' THEN t.actor_id::text WHEN 'key' THEN key.prefix END",
    "actor_id",
    "CASE l.actor_kind WHEN 'user' THEN CAST(CAST(:people AS jsonb) ->> l.actor_id AS bigint) ELSE key.id END",
)

# What refers to others comes after them. Of entries the oldest come first, for reversals name older ones.
PARTS = (
    Part(
        "api_keys.jsonl",
        ApiKey,
        "t.id",
        frozenset({"id"}),
        {
            "replaced_by": Cell("replaced_by", "text", "next.prefix", "", ""),  # see `restoring`
            "revoked_at": Cell(
                "revoked_at", "timestamptz", "t.revoked_at", "revoked_at", "COALESCE(l.revoked_at, clock_timestamp())"
            ),
        },
        joins="LEFT JOIN api_keys AS next ON next.tenant_id = t.tenant_id AND next.id = t.replaced_by",
    ),
    Part("ladders.jsonl", Ladder, "t.version"),
    Part("tiers.jsonl", Tier, "t.ladder_version, t.level"),
    Part(
        "participants.jsonl",
        Participant,
        "t.id",
        frozenset({"id"}),
        {"external_id": Cell("participant_id", "text", "t.external_id", "external_id", "l.participant_id")},
    ),
    Part("participant_details.jsonl", ParticipantDetails, "t.participant_id"),
    Part("erasures.jsonl", Erasure, "t.participant_id"),
    Part("tier_holds.jsonl", TierHold, "t.participant_id, t.kind"),
    Part("tier_changes.jsonl", TierChange, "t.id", frozenset({"id"})),
    Part("ledger_entries.jsonl", LedgerEntry, "t.id"),
    Part("idempotency_keys.jsonl", IdempotencyKey, "t.key"),
    Part(
        "recalculations.jsonl",
        Recalculation,
        "t.id",
        frozenset({"id", "done_until"}),  # one that goes on begins anew
        {
            name: Cell(name, "bigint", f"t.{name}", name, f"CASE WHEN l.finished_at IS NULL THEN 0 ELSE l.{name} END")
            for name in ("done_count", "moved_count")
        },
    ),
    Part("ladder_drafts.jsonl", LadderDraft, "t.revision"),
    Part("request_months.jsonl", RequestMonth, "t.month"),
    Part("dimensions.jsonl", Dimension, "t.number"),
    Part("point_costs.jsonl", PointCost, "t.valid_from"),
    Part("saved_reports.jsonl", SavedReport, "t.id", frozenset({"id"})),
    Part(
        "audit_entries.jsonl",
        AuditEntry,
        "t.id",
        frozenset(),
        {"subject": _SUBJECT, "actor_id": _ACTOR},
        extra=(Cell("participant_id", "text", "named.external_id", "", ""),),
        joins=f"""
            LEFT JOIN api_keys AS key ON key.tenant_id = t.tenant_id AND key.id = t.actor_id AND t.actor_kind = 'key'
            LEFT JOIN participants AS named ON named.tenant_id = t.tenant_id AND named.id = {_NAMED}
        """,
        write_joins="""
            LEFT JOIN api_keys AS key ON key.tenant_id = :tenant_id AND key.prefix = l.actor_id AND l.actor_kind = 'key'
            LEFT JOIN participants AS named ON named.tenant_id = :tenant_id AND named.external_id = l.participant_id
        """,
    ),
)
