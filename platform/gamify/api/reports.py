"""Reports: what the ledger adds up to, as JSON or as CSV."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from flask import Response, request
from flask.views import MethodView
from marshmallow import Schema
from sqlalchemy.orm import Session
from werkzeug.datastructures import MIMEAccept

from gamify.api import report_examples as examples
from gamify.api import report_files, report_parts, report_shapes
from gamify.api.document import Blueprint
from gamify.api.guard import caller, needs
from gamify.api.json import answer
from gamify.api.report_answers import ActivitySchema, AgesSchema, LiabilitySchema, RollForwardSchema, TiersReportSchema
from gamify.api.report_schemas import AgesQuerySchema, LiabilityQuerySchema, OwnDaysSchema, RollForwardQuerySchema, SpanSchema
from gamify.api.report_shapes import Shape
from gamify.db import hurry
from gamify.deployment import database, deployment
from gamify.errors import BeingPrepared, FieldError, Invalid, NotAcceptable
from gamify.models import Tenant
from gamify.services import entries, rollups
from gamify.services.reports import age_steps, costs, days
from gamify.services.reports.age_steps import Progress
from gamify.services.reports.span import Span

blp = Blueprint(
    "reporting", __name__, url_prefix="/api/v1/gamify/reports", description="What the ledger adds up to, to the last point."
)

FORMS = ("application/json", "text/csv")
LONGEST_WAIT = 5  # seconds for a figure: whoever asks for many costly ones at once takes threads from all
NO_DIMENSION = (
    "invalid_request",
    "The request has invalid values",
    "by: metadata.channel is no dimension of your reports; an admin can declare it.",
)
NO_ZONE = ("invalid_request", "The request has invalid values", "zone: Must be the name of a time zone, such as Europe/Berlin.")
NO_CURSOR = ("invalid_request", "The request has invalid values", "cursor: Is not a next_cursor of ours.")
PREPARED = (BeingPrepared.code, BeingPrepared.title, str(BeingPrepared()))


class Question(NamedTuple):
    """Who asks, about which days, and which they are compared with."""

    session: Session
    tenant: Tenant
    span: Span
    against: str | None
    today: date

    @property
    def spans(self) -> list[Span]:
        """The days asked for, and those to compare with."""
        return [self.span, *([self.span.before(self.against)] if self.against else [])]


@blp.route("/roll-forward")
class RollForward(MethodView):
    """The equation."""

    init_every_request = False

    @needs("reports:read")
    @blp.arguments(RollForwardQuerySchema(), location="query")
    @blp.ok(RollForwardSchema, examples.ROLL_FORWARD)
    @blp.ok_as_csv(report_files.text(RollForwardSchema, examples.ROLL_FORWARD))
    @blp.problems(406, 422, s422=NO_DIMENSION, s503=PREPARED)
    def get(self, values: dict[str, Any]) -> Response:
        """Get the roll-forward: opening + awarded - reversed - deducted + given back = closing.

        A row for each period, and each closing is the next opening. By tier a row for each tier, where points also move in
        and out with their participants; by key, reason or a member of the metadata what each has moved, of all days together.
        """
        by = values.pop("by")

        def tell(question: Question, span: Span) -> Shape:
            return report_parts.rolled_forward(question.session, question.tenant.id, span, by=by)

        return _answer("roll-forward", RollForwardSchema, values, tell, lambda _: {"by": by})


@blp.route("/liability")
class Liability(MethodView):
    """What is owed."""

    init_every_request = False

    @needs("reports:read")
    @blp.arguments(LiabilityQuerySchema(), location="query")
    @blp.ok(LiabilitySchema, examples.LIABILITY)
    @blp.ok_as_csv(report_files.text(LiabilitySchema, examples.LIABILITY))
    @blp.problems(406, 422, s422=NO_ZONE, s503=PREPARED)
    def get(self, values: dict[str, Any]) -> Response:
        """Get what the points cost that are not redeemed.

        As of the end of a day, by tier as well, and the course of it over the days asked for. Amounts are exact, by the cost
        that a point has on the day in question. How old the points are takes longer: `/reports/liability/ages` tells it.
        """
        as_of = values.pop("as_of")

        def tell(question: Question, span: Span) -> Shape:
            day = as_of or question.today
            if span is not question.span and question.against:
                day = days.as_far_before(day, question.span, question.against)
            return report_parts.owed(question.session, question.tenant.id, span, as_of=day)

        return _answer("liability", LiabilitySchema, values, tell)


@blp.route("/liability/ages")
class Ages(MethodView):
    """How old it is."""

    init_every_request = False

    @needs("reports:read")
    @blp.arguments(AgesQuerySchema(), location="query")
    @blp.ok(AgesSchema, examples.AGES)
    @blp.ok_as_csv(report_files.flat(AgesSchema, examples.AGES))
    @blp.problems(406, 422, s422=NO_CURSOR)
    def get(self, asked: dict[str, Any]) -> Response:
        """Get how old the points are that are not redeemed, counted participant by participant.

        Whoever redeems spends their oldest points first. Each answer adds the next few thousand participants to those of the
        answers before: repeat with `cursor` until `next_cursor` is null, and the sums are those of everybody. All parts are of
        one instant, so that points of a day that is over come to what `/reports/liability` tells of it.
        """
        form, tenant_id, vault = _form(), caller().tenant_id, deployment().vault
        with database().snapshot(tenant_id) as session:
            hurry(session, seconds=LONGEST_WAIT)
            tenant = session.get_one(Tenant, tenant_id)
            done = age_steps.go_on(session, tenant_id, _begun(session, tenant, asked), seconds=age_steps.STEP)
            shape = report_shapes.show_ages(done, costs.on(session, tenant_id, done.day))
        cursor = None if done.is_whole else age_steps.seal(vault, tenant_id, done, now=datetime.now(UTC))
        day = Span(done.day, done.day, "day", UTC)
        name = report_files.name("liability-ages", tenant.slug, tenant.mode, day)
        return _sent(form, {**shape, "next_cursor": cursor}, name, partial(report_files.flat, AgesSchema))


@blp.route("/tiers")
class Tiers(MethodView):
    """Who is where."""

    init_every_request = False

    @needs("reports:read")
    @blp.arguments(SpanSchema(), location="query")
    @blp.ok(TiersReportSchema, examples.TIERS)
    @blp.ok_as_csv(report_files.text(TiersReportSchema, examples.TIERS))
    @blp.problems(406, 422, s422=NO_ZONE, s503=PREPARED)
    def get(self, values: dict[str, Any]) -> Response:
        """Get who is on which tier, who has moved from which to which, and how long it took to rise.

        Who was on a tier before, and the flows to and from it, make who is on it after the last period.
        """

        def tell(question: Question, span: Span) -> Shape:
            return report_parts.of_tiers(question.session, question.tenant.id, span)

        return _answer("tiers", TiersReportSchema, values, tell)


@blp.route("/activity")
class Activity(MethodView):
    """What participants do."""

    init_every_request = False

    @needs("reports:read")
    @blp.arguments(OwnDaysSchema(), location="query")
    @blp.ok(ActivitySchema, examples.ACTIVITY)
    @blp.ok_as_csv(report_files.text(ActivitySchema, examples.ACTIVITY))
    @blp.problems(406, 422, s422=NO_ZONE, s503=PREPARED)
    def get(self, values: dict[str, Any]) -> Response:
        """Get how many are active, who came back, how large awards and balances are, and what moves the most.

        Weeks and months that begin before the first day are counted from their own beginning.
        """

        def tell(question: Question, span: Span) -> Shape:
            own = question.tenant.time_zone
            if str(span.zone) != own:
                raise Invalid([FieldError("zone", f"Must be {own}, the tenant's own: who is active is counted in its days.")])
            return report_parts.done(question.session, question.tenant.id, span)

        def now(question: Question) -> Shape:
            return {"balances": report_parts.balances(question.session, question.tenant.id)}

        return _answer("activity", ActivitySchema, values, tell, now)


def _answer(
    report: str,
    schema: type[Schema],
    values: dict[str, Any],
    tell: Callable[[Question, Span], Shape],
    tell_once: Callable[[Question], Shape] = lambda _: {},
) -> Response:
    """Answer with what `tell` says of the days asked for, and of those to compare with; all of it is of one moment."""
    form = _form()
    with _reading(values) as question:
        told = [{**report_shapes.days(span), **tell(question, span)} for span in question.spans]
        about = {"unit": question.span.unit, "zone": str(question.span.zone)}
        body = {**told[0], **about, **tell_once(question), report_files.COMPARED: told[1] if told[1:] else None}
        name = report_files.name(report, question.tenant.slug, question.tenant.mode, question.span)
    return _sent(form, body, name, partial(report_files.text, schema))


def _sent(form: str, body: Shape, name: str, write: Callable[[Shape], str]) -> Response:
    """Send a report as JSON or, as `write` writes it, as a file."""
    if form == FORMS[0]:
        return answer(body, {"Vary": "Accept"})
    headers = {"Vary": "Accept", "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(write(body), 200, headers, mimetype=form)


def _begun(session: Session, tenant: Tenant, asked: dict[str, Any]) -> Progress:
    """Where counting ages goes on by the cursor, or begins. Raises `Invalid` naming `cursor`."""
    day, zone, cursor = asked["as_of"], asked["zone"], asked["cursor"]
    if cursor is None:
        of = ZoneInfo(zone or tenant.time_zone)
        return age_steps.begin(session, day or datetime.now(of).date(), of)
    done = age_steps.unseal(deployment().vault, tenant.id, cursor)
    if done is None:
        raise Invalid([FieldError("cursor", "Is not a next_cursor of ours.")])
    if (day or done.day, zone or done.zone) != (done.day, done.zone):
        raise Invalid([FieldError("cursor", "Is of another as_of or zone: leave them out, or send them as at first.")])
    return done


@contextmanager
def _reading(values: dict[str, Any]) -> Iterator[Question]:
    """One moment of the tenant. Raises `BeingPrepared` while there is nothing to read yet."""
    tenant_id = caller().tenant_id
    deployment().rollups.catch_up(tenant_id)
    with database().snapshot(tenant_id) as session:
        hurry(session, seconds=LONGEST_WAIT)
        if not rollups.is_current(session, tenant_id):
            deployment().rollups.touch(tenant_id)  # once more, if it has happened just now
            raise BeingPrepared
        tenant, now = session.get_one(Tenant, tenant_id), datetime.now(UTC)
        zone = ZoneInfo(values["zone"] or tenant.time_zone)
        beginning = entries.first_at(session, tenant_id)
        said = {"name": values["period"], "first": values["since"], "last": values["until"], "unit": values["unit"]}
        span = days.span(beginning=beginning, **said, zone=zone, now=now)
        yield Question(session, tenant, span, values["compare"], now.astimezone(zone).date())


def _form() -> str:
    """The form that the request prefers; JSON, if it does not mind. Raises `NotAcceptable`."""
    accepted = MIMEAccept([(form.partition(";")[0].strip(), quality) for form, quality in request.accept_mimetypes])
    if not accepted:
        return FORMS[0]
    form = max(FORMS, key=accepted.quality)
    if not accepted.quality(form):
        raise NotAcceptable(FORMS)
    return form
