"""Files under test: asked for as a person does, made as a worker makes them, and read by others' programs."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
from gamify.deployment import Deployment
from gamify.models import Export, Tenant
from gamify.services import export_contents, export_files, export_job, exports
from gamify.services.audit import Actor
from gamify.services.entries import Filter
from openpyxl.utils.escape import unescape
from pyarrow import parquet

ANA = Actor("user", "ana@shop.example", 7)


def ask(
    here: Deployment,
    tenant_id: int,
    kind: str = "ledger",
    *,
    format: str = "csv",  # noqa: A002  # its name on forms
    wanted: Filter | None = None,
    query: str = "",
) -> Export:
    """Have a file made of the ledger, or of a report."""
    now = datetime.now(UTC)
    with here.database.transaction(tenant_id) as session:
        tenant = session.get_one(Tenant, tenant_id)
        if kind == "ledger":
            wish = export_contents.ledger(tenant, wanted or Filter(), query=query, about="Every entry", now=now)
        else:
            wish = export_contents.report(session, tenant, kind, query=query, now=now)
        return exports.ask(session, tenant_id, wish, format=format, actor=ANA, now=now)


def make(here: Deployment, folder: Path, export: Export) -> Path:
    """Make the file; return where it lies."""
    for _ in export_job.make(here.database, folder, export.tenant_id, export.id):
        pass
    return export_files.place(folder, export.tenant_id, export.id, export.format)


def get(here: Deployment, export: Export) -> Export:
    with here.database.transaction(export.tenant_id) as session:
        return exports.get(session, export.tenant_id, export.id)


def left_in(folder: Path) -> list[str]:
    """Every file under the folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def read_csv(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=Decimal) for line in path.read_bytes().splitlines()]


def read_xlsx(path: Path) -> list[dict[str, Any]]:
    """The rows of all sheets."""
    book = openpyxl.load_workbook(path, read_only=True)
    found = []
    for sheet in book.worksheets:
        head, *rows = [
            [unescape(cell) if isinstance(cell, str) else cell for cell in row] for row in sheet.iter_rows(values_only=True)
        ]
        found += [dict(zip(head, row, strict=True)) for row in rows]
    book.close()
    return found


def read_parquet(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


READERS = {"csv": read_csv, "jsonl": read_jsonl, "xlsx": read_xlsx, "parquet": read_parquet}
