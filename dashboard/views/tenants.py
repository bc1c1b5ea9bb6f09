"""The operators' page: tenants as such, how much they hold and how busy they are; never what is in them."""

from collections.abc import Generator
from itertools import chain

from flask import Blueprint, Response, flash, request, url_for
from gamify.deployment import counters, database
from gamify.errors import FieldError, Invalid, NotFound
from gamify.services import spreadsheet, tenant_sizes, tenants, users
from werkzeug.wrappers import Response as Answer

from dashboard import files
from dashboard.forms import Form, ask, sent
from dashboard.guard import actor, allows, lead_to, now
from dashboard.htmx import render
from dashboard.views.people import send_invitation

PAGE = 20  # tenants, each with its sandbox
MONTHS, MONTHS_OF_FILE = 2, 12
LONGEST_LIMIT = 16  # digits
MODES = ("live", "test")

bp = Blueprint("tenants", __name__, url_prefix="/dashboard")


@bp.get("/tenants")
@allows("tenants:read")
def index() -> Response:
    """List tenants."""
    return _show(Form())


@bp.get("/tenants.csv")
@allows("tenants:read")
def download() -> Response:
    """Send the tenants that are searched for as a file, with what they did month by month."""
    return files.send("tenants.csv", _lines(_searched()), whose=None)


@bp.post("/tenants/create")
@allows("tenants:write", fresh=True)
def create() -> Response | Answer:
    """Create a tenant, and invite its first admin if one is named."""
    form = sent()
    slug, email = form.get("slug").strip(), form.get("email").strip()
    with form.showing():
        if email and (error := users.email_problem(email)):
            raise Invalid([FieldError("email", error.message)])
        with database().transaction() as db:
            tenant = tenants.create(db, slug=slug, name=form.get("name").strip(), actor=actor())
        if email and (link := send_invitation(tenant, email=email, role="admin")):
            return _show(Form(), link=link, invited=email)
        return _back(f"{slug} has been created." + (f" An invitation to {email} is on its way." if email else ""))
    return _show(form)


@bp.get("/tenants/<slug>/suspend")
@allows("tenants:write", fresh=True)
def ask_to_suspend(slug: str) -> Response:
    """Ask whether this is the tenant that is meant."""
    return _ask("tenants/_suspend.html", slug, Form())


@bp.post("/tenants/<slug>/suspend")
@allows("tenants:write", fresh=True)
def suspend(slug: str) -> Answer:
    """Refuse every request and sign-in of a tenant until it is resumed."""
    return _set_status(slug, "suspended")


@bp.post("/tenants/<slug>/resume")
@allows("tenants:write", fresh=True)
def resume(slug: str) -> Answer:
    """Let a suspended tenant work again."""
    return _set_status(slug, "active")


@bp.get("/tenants/<slug>/limits")
@allows("tenants:write", fresh=True)
def ask_for_limits(slug: str) -> Response:
    """Show the limits of a tenant and its sandbox."""
    return _ask("tenants/_limits.html", slug, Form())


@bp.post("/tenants/<slug>/limits")
@allows("tenants:write", fresh=True)
def set_limits(slug: str) -> Response | Answer:
    """Limit a tenant and its sandbox; what stays the same is not written down."""
    form, changed = sent(), []
    with form.showing(), database().transaction() as db:
        wanted = {mode: _limit(form, mode) for mode in MODES}
        for tenant in tenants.both(db, _known(slug)):
            if tenant.rate_limit != wanted[tenant.mode]:
                tenants.set_rate_limit(db, tenant, rate_limit=wanted[tenant.mode], actor=actor())
                changed.append(tenant)
    if not form.is_fine:
        return _ask("tenants/_limits.html", slug, form)
    for tenant in changed:
        counters().advance(tenant.id)
    return _back(f"The limits of {slug} are set.")


def _set_status(slug: str, status: str) -> Answer:
    with database().transaction() as db:
        changed = tenants.set_status(db, _known(slug), status=status, actor=actor())
    for tenant in changed:
        counters().advance(tenant.id)
    return _back(f"{slug} is {status} now.")


def _known(slug: str) -> str:
    """Return the slug, if a tenant can have it: the database is not asked for anything else."""
    if not tenants.SLUG.fullmatch(slug):
        raise NotFound(f"There is no tenant {slug}.")
    return slug


def _limit(form: Form, mode: str) -> int:
    written = form.get(mode).strip()
    if not (written.isascii() and written.isdecimal() and len(written) <= LONGEST_LIMIT):
        raise Invalid([FieldError(mode, "Must be a whole number; 0 is no limit.")])
    if int(written) > tenants.LARGEST_RATE_LIMIT:
        raise Invalid([FieldError(mode, f"Must be {tenants.LARGEST_RATE_LIMIT} at most.")])
    return int(written)


def _ask(question: str, slug: str, form: Form) -> Response:
    with database().transaction() as db:
        live, sandbox = tenants.both(db, _known(slug))
    values = {"live": live, "sandbox": sandbox, "form": form}
    page = ask(question, title=live.slug, leads_back=url_for(".index"), **values)
    page.status_code = form.status
    return page


def _searched() -> str:
    return request.args.get("q", "").strip().replace("\0", "")


def _lines(text: str) -> Generator[str]:
    with database().transaction() as db:
        found = tenants.search(db, text)
    sizes = chain.from_iterable(tenant_sizes.of_both(database(), found, months=MONTHS_OF_FILE, now=now()))
    yield from spreadsheet.lines(tenant_sizes.header(MONTHS_OF_FILE, now=now()), map(tenant_sizes.cells, sizes))


def _show(form: Form, **values: str) -> Response:
    text = _searched()
    with database().transaction() as db:
        found = tenants.search(db, text, after=request.args.get("after", "").replace("\0", ""), limit=PAGE + 1)
    page = render(
        "tenants/index.html",
        partials={"tenants": "tenants/_tenants.html"},
        status=form.status,
        form=form,
        text=text,
        sizes=list(tenant_sizes.of_both(database(), found[:PAGE], months=MONTHS, now=now())),
        months=tenant_sizes.last_months(MONTHS, now=now()),
        older=url_for(".index", q=text or None, after=found[PAGE - 1].slug) if len(found) > PAGE else None,
        file=url_for(".download", q=text or None),
        **values,
    )
    if form.refusal is not None:
        page.headers.extend(form.refusal.headers)
    return page


def _back(said: str) -> Answer:
    flash(said)
    return lead_to(url_for(".index"))
