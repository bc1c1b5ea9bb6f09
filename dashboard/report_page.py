"""The frame that all reports have: what was asked for, the tabs, what is saved, and the report itself or a file of it."""

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from flask import Response, request, url_for
from gamify.deployment import deployment
from gamify.errors import FieldError, Invalid, Unavailable
from gamify.models import SavedReport
from gamify.services import entries, rollups, spreadsheet, zones
from gamify.services.reports import costs, dimensions, saved
from gamify.services.reports.roll_forward import METADATA
from sqlalchemy.orm import Session

from dashboard import (
    activity_report,
    files,
    htmx,
    liability_ages,
    liability_report,
    report_query,
    roll_forward_report,
    tiers_report,
)
from dashboard.forms import Form
from dashboard.guard import now
from dashboard.report_query import Asked
from dashboard.report_table import Table
from dashboard.tenancy import here, reading, zone

REPORT = "report"  # the id of what htmx fills
PREPARING = "Reports are being prepared from the ledger; try again in a moment."

Build = Callable[[Session, int, Asked], dict[str, Any]]


class Part(NamedTuple):
    """What a page asks for by itself: its template, and what makes it."""

    template: str
    build: Build


NO_PARTS: Mapping[str, Part] = {}


class Kind(NamedTuple):
    """A report: what its tab says, its page, the address of its files, what makes it, and its parts by their ids."""

    label: str
    sub: str
    endpoint: str
    file: str
    build: Build
    is_zoned: bool = True
    parts: Mapping[str, Part] = NO_PARTS

    @property
    def part(self) -> Part | None:
        """The part that htmx asks for; None: the report."""
        return self.parts.get(htmx.target()) if htmx.is_partial() else None

    @property
    def partials(self) -> dict[str, str]:
        """Templates by the id of what they fill."""
        return {REPORT: "reports/_report.html", **{name: part.template for name, part in self.parts.items()}}


KINDS = {
    "roll-forward": Kind(
        "Roll-forward",
        "Where points came from and went, to the last one.",
        "reports.index",
        "reports.roll_forward_file",
        roll_forward_report.build,
    ),
    "liability": Kind(
        "Liability",
        "What the points cost that have not been redeemed yet.",
        "reports.liability",
        "reports.liability_file",
        liability_report.build,
        parts={"by-age": Part("reports/_ages.html", liability_ages.build)},
    ),
    "tiers": Kind("Tiers", "Who is on which tier, and who moves.", "reports.tiers", "reports.tiers_file", tiers_report.build),
    "activity": Kind(
        "Behaviour",
        "Who is active and comes back, and what for.",
        "reports.activity",
        "reports.activity_file",
        activity_report.build,
        is_zoned=False,
    ),
}


def show(kind: str, form: Form | None = None) -> Response:
    """Show a report, with what was refused on it."""
    tenant_id, form, part = here().id, form or Form(), KINDS[kind].part
    with reading() as session:
        if not rollups.is_current(session, tenant_id):
            return _preparing(kind)
        asked, begun = _asked(session, tenant_id, kind)
        is_shown = begun is not None and not asked.errors
        values: dict[str, Any] = (part or KINDS[kind]).build(session, tenant_id, asked) if is_shown else {}
        if kind == "liability" and not is_shown:
            values["costs"] = costs.listed(session, tenant_id)
        kept = saved.listed(session, tenant_id)
    if part and not is_shown:
        return _afresh()
    query = urlencode(asked.values)
    answer = htmx.render(
        "reports/page.html",
        partials=KINDS[kind].partials,
        status=form.status if form.refusal else Invalid.status if asked.errors else 200,
        asked=asked,
        form=form,
        is_begun=begun is not None,
        in_words=report_query.in_words,
        kept=[(each, address_of(each), each.kind == kind and each.query == query) for each in kept],
        query=query,
        address=url_for(KINDS[kind].endpoint, **_any(asked.values)),
        choices=_choices(asked),
        **(_frame(kind) | {"is_shown": is_shown} | values),
    )
    if htmx.is_partial() and htmx.target() == REPORT:
        answer.headers["HX-Push-Url"] = url_for(KINDS[kind].endpoint, **_any(asked.values))
    return answer


def send(kind: str) -> Response:
    """Send a table of a report as a file: the one that the address names, or its first."""
    tenant = here()
    with reading() as session:
        if not rollups.is_current(session, tenant.id):
            raise Unavailable(PREPARING)
        asked, _ = _asked(session, tenant.id, kind)
        span = asked.check()
        tables: list[Table] = KINDS[kind].build(session, tenant.id, asked)["tables"]
    wanted = request.args.get("table", tables[0].name)
    found = next((table for table in tables if table.name == wanted), None)
    if found is None:
        raise Invalid([FieldError("table", f"Must be one of {', '.join(table.name for table in tables)}.")])
    name = f"{kind}-{found.name}-{tenant.slug}-{tenant.mode}-{span.first}-to-{span.last}.csv"
    return files.send(name, _lines(found), whose=tenant.id)


def address_of(report: SavedReport) -> str:
    """Where a saved report is."""
    return url_for(KINDS[report.kind].endpoint, **_any(report_query.given(dict(parse_qsl(report.query)))))


def kept_query(query: str) -> str:
    """What of an address is kept with a saved report: what reports take, and nothing else."""
    return urlencode(report_query.given(dict(parse_qsl(query))))


def _asked(session: Session, tenant_id: int, kind: str) -> tuple[Asked, Any]:
    begun = entries.first_at(session, tenant_id)
    found = report_query.read(
        request.args,
        zone=zone(),
        now=now(),
        dimensions=dimensions.listed(session, tenant_id),
        beginning=begun,
        is_zoned=KINDS[kind].is_zoned,
    )
    return found, begun


def _preparing(kind: str) -> Response:
    """Say so, and see to it that it is done. To somebody who reads, that is no fault; a file has nothing to say meanwhile."""
    deployment().rollups.touch(here().id)
    if KINDS[kind].part:
        return _afresh()
    return htmx.render("reports/page.html", partials=KINDS[kind].partials, **_frame(kind))


def _afresh() -> Response:
    """Let the page be loaded anew: there is no report any more that a part could be of."""
    return Response(headers={"HX-Refresh": "true"})


def _frame(kind: str) -> dict[str, Any]:
    given = report_query.given(request.args)
    return {"kind": kind, "kinds": KINDS, "periods": report_query.PERIODS, "given": given, "is_shown": None}


def _choices(asked: Asked) -> dict[str, Any]:
    """What the bar offers."""
    by = {"": "Nothing", **report_query.GROUPS}
    return {
        "units": report_query.UNIT_NAMES,
        "zones": zones.names(),
        "comparisons": report_query.COMPARISONS,
        "by": by,
        "dimensions": [(f"{METADATA}{each.metadata_key}", each) for each in asked.dimensions],
    }


def _any(values: dict[str, str]) -> dict[str, Any]:
    return dict(values)


def _lines(table: Table) -> Generator[str]:
    yield from spreadsheet.lines(table.header, table.lines)
