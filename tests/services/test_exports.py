"""Exports: whole files of one moment, equal to the ledger, in every format, and nothing left of those that nobody wants."""

import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from gamify.errors import Conflict, Invalid, NotFound
from gamify.services import (
    export_files,
    export_formats,
    export_job,
    exports,
    file_names,
    ledger_export,
    rollups,
    tenants,
)
from gamify.services.audit import SYSTEM
from gamify.services.entries import Filter
from gamify.services.reports import costs, tables
from openpyxl.utils.escape import unescape
from sqlalchemy import text

from tests.exporting import ANA, READERS, ask, get, left_in, make, read_csv, read_jsonl, read_xlsx
from tests.harness import new_tenant
from tests.histories import Event, write

ZONE = ZoneInfo("Pacific/Auckland")
BASE = datetime(2026, 4, 4, 10, 59, 59, 123456, tzinfo=UTC)  # hours before clocks there go back
FORMULAS = ("=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\uff1d1")
LARGE = 2**53 + 1


@pytest.fixture
def history(here, tenant):
    """Entries of every kind, with texts of every kind, of a tenant in a zone of its own."""
    with here.database.transaction() as session:
        tenants.set_profile(session, tenant.slug, name="Shop", time_zone=str(ZONE), actor=SYSTEM)
    events = [Event(BASE + timedelta(minutes=n), f"p{n % 3}", 10 + n, reason=word) for n, word in enumerate(FORMULAS)]
    events += [
        Event(BASE + timedelta(hours=2), 'ünal, "d"\n/e', 500, reason="Größe 日本", metadata={"a": [1, 2**60], "b": "=x"}),
        Event(BASE + timedelta(hours=3), "p0", -5, metadata={}),
        Event(BASE + timedelta(hours=4), "p0", 0, undoes=8),
        Event(BASE + timedelta(days=1), "large", LARGE),
    ]
    return write(here, tenant.id, events)


def expected(here, tenant, wanted=None):
    """What the screen's file has, cell by cell."""
    with here.database.snapshot(tenant.id) as session:
        return [
            dict(zip(ledger_export.COLUMNS, ledger_export.cells(entry, ZONE), strict=True))
            for entry in ledger_export.every(session, tenant.id, wanted or Filter())
        ]


def test_a_csv_says_what_the_ledger_says(here, tenant, history, tmp_path):
    found = read_csv(make(here, tmp_path, ask(here, tenant.id)))

    assert len(found) == len(history)
    for row, entry in zip(found, expected(here, tenant), strict=True):
        for name, cell in entry.items():
            said = "" if cell is None else str(cell)
            assert row[name] == (f"'{said}" if isinstance(cell, str) and said.startswith(export_formats.FORMULA) else said)


def test_json_lines_keep_types_and_the_metadata_as_they_were_sent(here, tenant, history, tmp_path):
    path = make(here, tmp_path, ask(here, tenant.id, format="jsonl"))
    found = read_jsonl(path)

    assert [row | {"metadata": None} for row in found] == [row | {"metadata": None} for row in expected(here, tenant)]
    assert {"a": [1, 2**60], "b": "=x"} in [row["metadata"] for row in found]
    assert found[0]["points"] == LARGE


def test_a_workbook_has_numbers_as_numbers_and_times_as_times_of_the_tenants_zone(here, tenant, history, tmp_path):
    found = read_xlsx(make(here, tmp_path, ask(here, tenant.id, format="xlsx")))

    for row, entry in zip(found, expected(here, tenant), strict=True):
        local = datetime.fromisoformat(entry["created_at_local"]).replace(tzinfo=None)
        assert abs(row["created_at_local"] - local) < timedelta(milliseconds=1)
        exact = str(entry["points"]) if entry["points"] == LARGE else entry["points"]  # more than a spreadsheet can count
        assert (row["points"], row["number"], row["balance_after"]) == (
            exact,
            entry["number"],
            exact if exact == str(LARGE) else entry["balance_after"],
        )
        assert (row["participant_id"], row["transaction_id"]) == (entry["participant_id"], entry["transaction_id"])


def test_in_a_workbook_text_is_never_a_formula(here, tenant, history, tmp_path):
    sheet = openpyxl.load_workbook(make(here, tmp_path, ask(here, tenant.id, format="xlsx"))).worksheets[0]
    column = [cell.value for cell in sheet[1]].index("reason") + 1
    cells = [sheet.cell(row, column) for row in range(2, sheet.max_row + 1)]
    said = {unescape(cell.value): cell for cell in cells if cell.value}

    assert set(FORMULAS) <= set(said)
    assert {cell.data_type for row in sheet.iter_rows() for cell in row if isinstance(cell.value, str)} == {"s"}
    assert said["=1+1"].quotePrefix
    assert not said["Größe 日本"].quotePrefix


def test_parquet_has_typed_columns(here, tenant, history, tmp_path):
    found = READERS["parquet"](make(here, tmp_path, ask(here, tenant.id, format="parquet")))

    for row, entry in zip(found, expected(here, tenant), strict=True):
        assert row["created_at_local"].astimezone(UTC) == datetime.fromisoformat(entry["created_at_local"])
        assert {name: row[name] for name in row if name != "created_at_local"} == {
            name: entry[name] for name in entry if name != "created_at_local"
        }


@pytest.mark.parametrize("name", READERS)
def test_a_file_holds_just_what_is_filtered(here, tenant, history, tmp_path, name):
    for wanted in (
        Filter(participant_id="p0"),
        Filter(type="deduct"),
        Filter(reason="=1+1"),
        Filter(since=BASE + timedelta(hours=3)),
    ):
        path = make(here, tmp_path, ask(here, tenant.id, format=name, wanted=wanted))
        assert [row["transaction_id"] for row in READERS[name](path)] == [
            row["transaction_id"] for row in expected(here, tenant, wanted)
        ]


def test_more_rows_than_a_sheet_takes_go_on_in_the_next(here, tenant, history, tmp_path, monkeypatch):
    monkeypatch.setattr(export_formats, "SHEET_ROWS", 5)
    path = make(here, tmp_path, ask(here, tenant.id, format="xlsx"))

    assert len(openpyxl.load_workbook(path).worksheets) == 3
    assert [row["transaction_id"] for row in read_xlsx(path)] == [row["transaction_id"] for row in expected(here, tenant)]


@pytest.mark.parametrize("name", ["csv", "xlsx"])
def test_a_file_is_of_one_moment_whatever_happens_meanwhile(here, tenant, api, tmp_path, monkeypatch, name):
    monkeypatch.setattr(export_job, "PULSE", 0)
    monkeypatch.setattr(export_job, "LOOK_AFTER", 1)
    for _ in range(5):
        api.award("ana", 1)
    export = ask(here, tenant.id, format=name)
    steps = export_job.make(here.database, tmp_path, tenant.id, export.id)
    next(steps)
    api.award("ana", 1)
    assert get(here, export).state == "running"
    assert get(here, export).expected_count == 5
    for _ in steps:
        pass

    found = READERS[name](export_files.place(tmp_path, tenant.id, export.id, name))
    assert len(found) == 5
    done = get(here, export)
    assert (done.state, done.row_count) == ("done", 5)
    assert done.size == export_files.place(tmp_path, tenant.id, export.id, name).stat().st_size


def test_nothing_lies_in_its_place_before_it_is_whole(here, tenant, history, tmp_path, monkeypatch):
    monkeypatch.setattr(export_job, "PULSE", 0)
    monkeypatch.setattr(export_job, "LOOK_AFTER", 1)
    export = ask(here, tenant.id)
    place = export_files.place(tmp_path, tenant.id, export.id, "csv")
    for _ in export_job.make(here.database, tmp_path, tenant.id, export.id):
        assert not place.exists()

    assert left_in(tmp_path) == [str(place.relative_to(tmp_path))]


@pytest.mark.parametrize("name", READERS)
def test_what_is_cancelled_stops_and_leaves_nothing(here, tenant, history, tmp_path, monkeypatch, name):
    monkeypatch.setattr(export_job, "PULSE", 0)
    monkeypatch.setattr(export_job, "LOOK_AFTER", 1)
    export = ask(here, tenant.id, format=name)
    steps = export_job.make(here.database, tmp_path, tenant.id, export.id)
    next(steps)
    with here.database.transaction(tenant.id) as session:
        exports.cancel(session, tenant.id, export.id, actor=ANA, now=datetime.now(UTC))

    assert list(steps) == []
    assert get(here, export).state == "cancelled"
    assert left_in(tmp_path) == []
    assert left_in(make(here, tmp_path, export).parent) == []  # nor does a job that comes late make it
    with pytest.raises(Conflict), here.database.transaction(tenant.id) as session:
        exports.cancel(session, tenant.id, export.id, actor=ANA, now=datetime.now(UTC))


@pytest.mark.parametrize("name", READERS)
def test_of_two_runs_only_the_later_has_a_say(here, tenant, history, tmp_path, monkeypatch, name):
    monkeypatch.setattr(export_job, "PULSE", 0)
    monkeypatch.setattr(export_job, "LOOK_AFTER", 1)
    export = ask(here, tenant.id, format=name)
    cut_off = export_job.make(here.database, tmp_path, tenant.id, export.id)
    next(cut_off)
    path = make(here, tmp_path, export)
    made = path.read_bytes()

    assert list(cut_off) == []
    assert get(here, export).state == "done"
    assert path.read_bytes() == made
    assert left_in(tmp_path) == [str(path.relative_to(tmp_path))]


def test_a_run_that_is_let_go_leaves_nothing_and_the_next_makes_it(here, tenant, history, tmp_path, monkeypatch):
    monkeypatch.setattr(export_job, "PULSE", 0)
    monkeypatch.setattr(export_job, "LOOK_AFTER", 1)
    export = ask(here, tenant.id)
    steps = export_job.make(here.database, tmp_path, tenant.id, export.id)
    next(steps)
    steps.close()

    assert left_in(tmp_path) == []
    assert len(read_csv(make(here, tmp_path, export))) == len(history)


def test_a_folder_that_cannot_be_written_is_told_and_a_second_go_makes_it(here, tenant, history, tmp_path):
    (tmp_path / "folder").write_text("no folder")
    export = ask(here, tenant.id)
    with pytest.raises(OSError, match="folder"):
        make(here, tmp_path / "folder", export)
    failed = get(here, export)
    assert (failed.state, failed.error) == ("failed", "The folder where exports are kept cannot be written to.")

    (tmp_path / "folder").unlink()
    make(here, tmp_path / "folder", export)
    assert (get(here, export).state, get(here, export).error) == ("done", None)


def test_a_file_expires_after_a_week_and_strays_go_with_it(here, tenant, history, tmp_path):
    old, other = ask(here, tenant.id), ask(here, tenant.id)
    for each in (old, other):
        make(here, tmp_path, each)
    (tmp_path / str(tenant.id) / f"{old.id + 1_000}.1.draft").mkdir()
    (tmp_path / str(tenant.id) / f"{old.id + 1_000}.1.draft" / "export.csv").write_text("half")
    ended_at = get(here, old).ended_at
    with here.database.transaction(tenant.id) as session:
        exports.get(session, tenant.id, other.id).expires_at += timedelta(hours=1)

    now = ended_at + exports.KEPT + timedelta(seconds=1)
    with pytest.raises(NotFound, match="expired"), here.database.transaction(tenant.id) as session:
        exports.download(session, tenant.id, old.id, actor=ANA, now=now)
    with here.database.transaction(tenant.id) as session:
        left = exports.expire(session, tenant.id, now=now)
    export_files.remove_strays(tmp_path, tenant.id, left)

    assert left == {other.id}
    assert left_in(tmp_path) == [f"{tenant.id}/{other.id}.csv"]
    assert get(here, other).expires_at - get(here, other).ended_at == exports.KEPT + timedelta(hours=1)


def test_what_has_lost_its_job_is_given_up_after_a_day(here, tenant):
    export = ask(here, tenant.id)
    with here.database.transaction(tenant.id) as session:
        exports.expire(session, tenant.id, now=datetime.now(UTC) + exports.GIVEN_UP + timedelta(minutes=1))

    assert get(here, export).state == "failed"


def test_an_export_of_another_tenant_or_of_the_sandbox_is_not_there(here, tenant, tmp_path):
    export, stranger = ask(here, tenant.id), new_tenant(here)
    make(here, tmp_path, export)
    for other in (stranger.id, tenant.sandbox_id):
        with here.database.transaction(other) as session:
            assert exports.listed(session, other, now=datetime.now(UTC)) == []
            assert session.scalar(text("SELECT count(*) FROM exports")) == 0
            for act in (exports.download, exports.cancel):
                with pytest.raises(NotFound):
                    act(session, other, export.id, actor=ANA, now=datetime.now(UTC))
            with pytest.raises(NotFound):
                exports.delete(session, other, export.id, actor=ANA)
    assert get(here, export).state == "done"


def test_a_tenant_can_have_only_so_many_under_way(here, tenant):
    for _ in range(exports.MOST_UNDER_WAY):
        ask(here, tenant.id)

    with pytest.raises(Conflict, match="under way"):
        ask(here, tenant.id)


def test_without_its_library_there_is_no_parquet(here, tenant, monkeypatch):
    assert "parquet" in [each.name for each in export_formats.available()]
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it could not be found

    assert [each.name for each in export_formats.available()] == ["xlsx", "csv", "jsonl"]
    with pytest.raises(Invalid, match=r"format: Needs gamify\[parquet\]"):
        ask(here, tenant.id, format="parquet")


@pytest.mark.parametrize("name", ["pdf", "", "CSV", "../csv"])
def test_a_format_that_is_none_is_refused_by_name(here, tenant, name):
    with pytest.raises(Invalid, match="format: Must be one of"):
        ask(here, tenant.id, format=name)


@pytest.mark.parametrize(
    ("name", "sane"),
    [
        ("Größe: 日本/день", "Größe 日本 день.csv"),
        ("../../etc/passwd", "etc passwd.csv"),
        ("a\u202egnp.exe", "agnp.exe.csv"),
        ("con", "_con.csv"),
        ("LPT1.x", "_LPT1.x.csv"),
        (" ... ", "file.csv"),
        ("a\r\nSet-Cookie: b", "a Set-Cookie b.csv"),
        ("é", "é.csv"),
        ("x" * 300, "x" * 120 + ".csv"),
    ],
)
def test_names_of_files_are_sane_in_every_language(name, sane):
    assert file_names.sane(name, "csv") == sane


def test_a_long_name_in_wide_letters_fits_into_a_file_system(tmp_path):
    (tmp_path / file_names.sane("日" * 300, "parquet")).write_text("it is taken")


@pytest.fixture
def business(here, tenant, history):
    """What reports are made of."""
    with here.database.transaction(tenant.id) as session:
        costs.put(session, tenant.id, valid_from=date(2026, 1, 1), cost="0.0125", currency="NZD", actor=SYSTEM)
    rollups.rebuild(here.database, tenant.id)


VIEWS = [(kind, by) for kind, views in tables.VIEWS.items() for by in views]
APRIL = "from=2026-04-01&to=2026-04-30"


@pytest.mark.parametrize(("kind", "by"), VIEWS)
def test_a_reports_file_says_in_every_format_what_its_table_says(here, tenant, business, tmp_path, kind, by):
    with here.database.snapshot(tenant.id) as session:
        query = {"from": "2026-04-01", "to": "2026-04-30", "by": by, "table": by, "unit": "week"}
        asked = tables.read(session, tenant.id, kind, query, zone=ZONE, now=datetime.now(UTC))
        table = tables.make(session, tenant.id, asked)
    assert table.rows
    for name, read in READERS.items():
        export = ask(here, tenant.id, kind, format=name, query=f"{APRIL}&by={by}&table={by}&unit=week")
        found = read(make(here, tmp_path, export))
        assert [list(row) for row in found] == [[column.name for column in table.columns]] * len(table.rows)
        assert [[_number(cell) for cell in row.values()] for row in found] == [
            [_number(cell) for cell in row] for row in table.rows
        ]
        assert get(here, export).about in ("1 Apr 2026 to 30 Apr 2026", "30 Apr 2026")


def _number(cell):
    """A cell as the number, the day or the text that it is, whatever the format has made of it."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, datetime):
        return str(cell.date())
    text = str(cell).removeprefix("'")  # which keeps a CSV's text from being run
    try:
        return round(Decimal(text), 6)
    except ArithmeticError:
        return text


def test_each_closing_in_a_file_is_the_next_opening_and_the_last_all_balances(here, tenant, business, tmp_path):
    rows = read_jsonl(make(here, tmp_path, ask(here, tenant.id, "roll-forward", format="jsonl", query="period=all&unit=month")))
    with here.database.transaction(tenant.id) as session:
        balances = session.scalar(text("SELECT sum(balance) FROM participants"))

    assert [row["closing"] for row in rows[:-1]] == [row["opening"] for row in rows[1:]]
    for row in rows:
        moved = row["awarded"] - row["reversed"] - row["deducted"] + row["given_back"]
        assert row["opening"] + moved == row["closing"]
    assert rows[-1]["closing"] == balances


@pytest.mark.parametrize(
    ("kind", "query", "field"),
    [
        ("nothing", "", "kind"),
        ("liability", "table=key", "table"),
        ("liability", "zone=Mars/Base", "zone"),
        ("roll-forward", "by=metadata.unknown", "by"),
        ("roll-forward", "period=sometime", "period"),
        ("roll-forward", "from=yesterday", "from"),
        ("roll-forward", "from=2026-02-02&to=2026-02-01", "to"),
        ("roll-forward", "from=1990-01-01&unit=day", "unit"),
        ("activity", "unit=year", "unit"),
        ("activity", "x" * 9_000, "query"),
    ],
)
def test_a_report_that_cannot_be_is_refused_by_the_parameter(here, tenant, kind, query, field):
    with pytest.raises(Invalid) as refused:
        ask(here, tenant.id, kind, query=query)

    assert [error.field for error in refused.value.errors] == [field]
