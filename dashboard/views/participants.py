"""Participants: searched and listed, and each with what there is to know of them."""

from collections.abc import Generator, Sequence
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, request, url_for
from gamify.db import Database
from gamify.deployment import database
from gamify.errors import FieldError, Invalid
from gamify.models import Tier
from gamify.services import adjustments, details, figures, holds, ladder, participants, profiles, spreadsheet, tier_words
from gamify.services.listing import Wanted
from gamify.services.participants import Found
from gamify.services.profiles import Profile
from sqlalchemy.orm import Session

from dashboard import files, htmx, profile_chart
from dashboard.forms import Form
from dashboard.guard import allows, now
from dashboard.tenancy import here, is_sandbox, reading, zone

PAGE, PAGE_OF_LEDGER = 50, 25
NO_TIER = "-"  # in addresses; no code can be it
FILTERS = ("q", "activity", "held", "sort")
PARTIALS = {"found": "participants/_found.html", "more": "participants/_more.html"}
COLUMNS = (
    "participant_id",
    "display_name",
    "tier",
    "held",
    "balance",
    "total_earned",
    "total_spent",
    "last_entry_at",
    "created_at",
)
WORDS = {"active": "Active within", "quiet": "Quiet for"}
ACTIVITIES = {
    "": "Any activity",
    **{
        name: f"{'Active within' if name.startswith('active') else 'Quiet for'} {d.days} days"
        for name, d in participants.ACTIVITIES.items()
    },
}

# The API has taken the plural.
bp = Blueprint("participant", __name__, url_prefix="/dashboard")


@bp.get("/participants")
@allows("participants:read")
def index() -> Response:
    """List participants."""
    given = _given()
    tenant_id = here().id
    with reading() as session:
        tiers = ladder.in_force(session, tenant_id)
        rungs = ladder.known(session, tenant_id)
        found, count, refused = _search(session, tenant_id, given, tiers)
        known = details.of(session, tenant_id, [row.id for row in found.rows])
        pins = holds.pins(session, tenant_id, [row.id for row in found.rows if row.is_held])
    answer = htmx.render(
        "participants/index.html",
        partials=PARTIALS,
        status=Invalid.status if refused else 200,
        found=found.rows,
        pins=pins,
        known=known,
        count=count,
        given=given,
        refused=refused,
        tiers=tiers,
        rungs=rungs,
        activities=ACTIVITIES,
        no_tier=NO_TIER,
        is_first="after" not in request.args,
        older=url_for(".index", **given, after=found.cursor) if found.cursor else None,
    )
    if htmx.is_partial() and htmx.target() == "found":
        answer.headers["HX-Push-Url"] = url_for(".index", **given)  # without what is empty
    return answer


@bp.get("/participants.csv")
@allows("reports:export")
def download() -> Response:
    """Send all who are filtered as a file."""
    tenant_id = here().id
    with database().transaction(tenant_id) as session:
        tiers = ladder.in_force(session, tenant_id)
        codes = {number: tier.code for number, tier in ladder.known(session, tenant_id).items()}
    name = "participants-sandbox.csv" if is_sandbox() else "participants.csv"
    lines = _lines(database(), tenant_id, _wanted(_given(), tiers), codes, zone())
    return files.send(name, lines, whose=tenant_id)


@bp.get("/participants/<participant_id:pid>")
@allows("participants:read")
def profile(pid: str) -> Response:
    """Show one participant."""
    return show_profile(pid, Form({"kind": "award", "key": adjustments.new_key()}))


def show_profile(pid: str, form: Form, *, pin_form: Form | None = None) -> Response:
    """Render the profile with its forms: for adjustments, and for pins. Raises `NotFound`."""
    tenant_id = here().id
    page = request.args.get("page", 1, type=_page_number)
    with database().transaction(tenant_id) as session:
        found = profiles.profile(session, tenant_id, pid, now=now())
        balances = profiles.balances(session, tenant_id, found.participant, now=now())
        statement = profiles.statement(session, tenant_id, found.participant, page=page, page_size=PAGE_OF_LEDGER)
        done = _done(session, tenant_id, found)
        known = details.of(session, tenant_id, [found.participant.id]).get(found.participant.id)
    return htmx.render(
        "participants/profile.html",
        partials={"statement": "participants/_statement.html"},
        status=max(form.status, pin_form.status if pin_form else 0),
        profile=found,
        person=found.participant,
        known=known,
        chart_of_balance=profile_chart.chart(balances, zone()),
        statement=statement,
        page_number=page,
        page_count=max(-(-statement.total // PAGE_OF_LEDGER), 1),
        done=done,
        undo_key=adjustments.new_key(),
        form=form,
        pin_form=pin_form or Form(),
        because=tier_words.because,
    )


def _search(
    session: Session, tenant_id: int, given: dict[str, Any], tiers: Sequence[Tier]
) -> tuple[Found, int | None, list[FieldError]]:
    """Return a page of those asked for, how many there are where that is known, and what could not be asked."""
    try:
        wanted = _wanted(given, tiers)
        found = participants.search(session, tenant_id, wanted, after=request.args.get("after"), limit=PAGE)
    except Invalid as error:
        return Found([], None), None, error.errors
    return found, _count(session, tenant_id, wanted), []


def _page_number(text: str) -> int:
    """A page; whatever is none is the first."""
    number = int(text)
    if not 1 <= number <= 2**40:
        raise ValueError(text)
    return number


def _done(session: Session, tenant_id: int, found: Profile) -> Any:
    """The entry that an adjustment has just written, to be told of and undone."""
    entry_id = request.args.get("done", type=UUID)
    return profiles.entry(session, tenant_id, found.participant, entry_id) if entry_id else None


def _given() -> dict[str, Any]:
    """What the address asks for, without what is empty."""
    given: dict[str, Any] = {name: request.args[name] for name in FILTERS if request.args.get(name)}
    codes = [code for code in request.args.getlist("tier") if code]
    return given | ({"tier": codes} if codes else {})


def _wanted(given: dict[str, Any], tiers: Sequence[Tier]) -> Wanted:
    levels = {tier.code: tier.number for tier in tiers} | {NO_TIER: 0}
    unknown = [code for code in given.get("tier", []) if code not in levels]
    if unknown:
        raise Invalid([FieldError("tier", f"There is no tier {code} any more.") for code in unknown])
    return participants.wanted(
        fragment=given.get("q", ""),
        tiers=sorted({levels[code] for code in given.get("tier", [])}),
        activity=given.get("activity", ""),
        held=given.get("held", ""),
        sort=given.get("sort", ""),
        now=now(),
    )


def _count(session: Session, tenant_id: int, wanted: Wanted) -> int | None:
    """How many match, where that is known without looking at each."""
    if wanted.fragment or wanted.active_since or wanted.quiet_since or wanted.is_pinned:
        return None
    counts = figures.tier_counts(session, tenant_id)
    return sum(each.participant_count for each in counts if not wanted.tiers or each.tier in wanted.tiers)


def _lines(database: Database, tenant_id: int, wanted: Wanted, codes: dict[int, str], zone: ZoneInfo) -> Generator[str]:
    with database.transaction(tenant_id) as session:
        pinned = holds.pinned(session, tenant_id)
        # Not by a name: what nobody holds any more is closed at once, before its transaction.
        yield from spreadsheet.lines(
            COLUMNS, (_cells(row, codes, pinned, zone) for row in participants.every(session, tenant_id, wanted))
        )


def _cells(row: Any, codes: dict[int, str], pinned: frozenset[int], zone: ZoneInfo) -> list[Any]:
    moved_at = row.last_entry_at if row.last_entry_at > participants.NEVER else None
    times = [at and f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S%z}" for at in (moved_at, row.created_at)]
    held = ("pinned" if row.id in pinned else "kept") if row.is_held else None
    points = row.balance, row.total_earned, row.total_spent
    return [row.external_id, row.display_name, codes.get(row.tier), held, *points, *times]
