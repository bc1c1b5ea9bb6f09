"""Tiers: the ladder in force, its draft, what publishing that would do, publishing it, and former versions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flask import Response
from flask.views import MethodView
from sqlalchemy.orm import Session

from gamify.api.document import REPLAYED, WITH_BODY, Blueprint
from gamify.api.guard import actor, caller, needs
from gamify.api.idempotency import KEY_HEADER, sole_key
from gamify.api.json import answer
from gamify.api.reading_schemas import NothingSchema
from gamify.api.tier_answers import DraftSchema, LadderSchema, PreviewSchema, PublishedSchema, VersionsSchema
from gamify.api.tier_examples import CHANGED, DRAFT, GOING_ON, LADDER, NO_VERSION, PREVIEW, RUNGS, VERSIONS
from gamify.api.tier_schemas import (
    DraftBodySchema,
    PreviewBodySchema,
    PublishSchema,
    RevisionQuerySchema,
    RevisionSchema,
    VersionsPageSchema,
)
from gamify.api.tier_shapes import at, show_draft, show_ladder, show_mover, show_part, show_recalculation, show_tier, show_version
from gamify.deployment import database
from gamify.errors import Invalid
from gamify.services import answers, drafts, ladder, overview, previews, publishing, recalculations
from gamify.services.drafts import LONGEST_TEXT, Content, Rung
from gamify.services.idempotency import fingerprint
from gamify.services.previews import Moves
from gamify.services.tiers import Policy, Qualification, usual_name

blp = Blueprint(
    "ladder", __name__, url_prefix="/api/v1/gamify/tiers", description="Tiers: draft, see the effect, publish, go back."
)

NO_REVISION = ("invalid_request", "The request has invalid values", "revision: Is required.")
NO_PARAMETERS = ("invalid_request", "The request has invalid values", "page: Is not a known query parameter.")


@blp.route("")
class Tiers(MethodView):
    """The ladder in force."""

    init_every_request = False

    @needs("tiers:read")
    @blp.arguments(NothingSchema(), location="query")
    @blp.ok(LadderSchema, LADDER)
    @blp.problems(422, s422=NO_PARAMETERS)
    def get(self, _nothing: dict[str, Any]) -> Response:
        """Get the tiers in force, with how many hold each."""
        tenant_id = caller().tenant_id
        with database().snapshot(tenant_id) as session:
            newest, going_on = ladder.newest(session, tenant_id), recalculations.going_on(session, tenant_id)
            standings = overview.standings(session, tenant_id)
        here = [each for each in standings if each.tier and newest and each.tier.ladder_version == newest.version]
        body = {
            **show_ladder(newest),
            "tiers": [{**show_tier(each.tier), "participants": each.participant_count} for each in here if each.tier],
            "without_tier": sum(each.participant_count for each in standings if each not in here),
            "is_settled": newest is None or newest.is_settled,
            "recalculation": show_recalculation(going_on) if going_on else None,
        }
        return answer(body)


@blp.route("/draft")
class Draft(MethodView):
    """The draft."""

    init_every_request = False

    @needs("tiers:read")
    @blp.arguments(NothingSchema(), location="query")
    @blp.ok(DraftSchema, DRAFT)
    @blp.problems(422, s422=NO_PARAMETERS)
    def get(self, _nothing: dict[str, Any]) -> Response:
        """Get the draft.

        Where none is saved it is the tiers in force. Its `revision` is what changes to it are asked for with.
        """
        tenant_id = caller().tenant_id
        with database().transaction(tenant_id) as session:
            return answer(show_draft(drafts.of(session, tenant_id)))

    @needs("tiers:write")
    @blp.arguments(DraftBodySchema(), example={"revision": 5, "tiers": RUNGS})
    @blp.ok(DraftSchema, DRAFT)
    @blp.problems(*WITH_BODY, 409, s409=CHANGED)
    def put(self, body: dict[str, Any]) -> Response:
        """Save a whole draft.

        What could not be published is kept as well, with its `problems`. If somebody else has changed the draft since the
        `revision` given, nothing is saved, and the answer (409 `draft_changed`) has their `draft`. The same draft again
        is answered as saved.
        """
        tenant_id, revision, based_on = caller().tenant_id, body["revision"], body["based_on"]
        with database().transaction(tenant_id) as session:
            content = _content(session, tenant_id, body)
            return answer(
                show_draft(drafts.save(session, tenant_id, content, revision=revision, based_on=based_on, actor=actor()))
            )

    @needs("tiers:write")
    @blp.arguments(RevisionQuerySchema(), location="query")
    @blp.ok(DraftSchema, {**DRAFT, "revision": 5, "is_saved": False, "changed_by": None, "changed_at": None})
    @blp.problems(409, 422, s409=CHANGED, s422=NO_REVISION)
    def delete(self, seen: dict[str, Any]) -> Response:
        """Discard the draft.

        Returns the tiers in force as a draft.
        """
        tenant_id = caller().tenant_id
        with database().transaction(tenant_id) as session:
            drafts.discard(session, tenant_id, revision=seen["revision"], actor=actor())
            return answer(show_draft(drafts.of(session, tenant_id)))


@blp.route("/preview")
class Preview(MethodView):
    """What publishing would do."""

    init_every_request = False

    @needs("tiers:read")
    @blp.arguments(PreviewBodySchema(), example={"tiers": RUNGS, "falling": "move_down", "movers": {"direction": "fall"}})
    @blp.ok(PreviewSchema, PREVIEW)
    @blp.problems(*WITH_BODY)
    def post(self, body: dict[str, Any]) -> Response:
        """See what publishing would do to everybody, from the data as they are.

        Nothing is changed. Where points count for a time only and there are many participants, `is_complete` is false:
        ask again with `continue_from` until it is true.
        """
        tenant_id, now = caller().tenant_id, datetime.now(UTC)
        policy = _policy(body)
        publishing.check(policy, None, at=None, now=now)
        with naming(tally="continue_from"), database().snapshot(tenant_id) as session:
            content = _content(session, tenant_id, body)
            part = previews.part(session, tenant_id, content, policy, now=now, so_far=body["continue_from"])
            movers = _movers(session, tenant_id, content, policy, now=now, asked=body["movers"])
        return answer({**show_part(part), "movers": movers})


@blp.route("/publish")
class Publish(MethodView):
    """Publications."""

    init_every_request = False

    @needs("tiers:write")
    @blp.arguments(PublishSchema(), example={"revision": DRAFT["revision"], "falling": "keep", "reason": "Spring campaign"})
    @blp.ok(PublishedSchema, {"version": 6, "publish_at": None}, headers=REPLAYED)
    @blp.problems(*WITH_BODY, 409, parameters=[KEY_HEADER], s409=GOING_ON)
    def post(self, body: dict[str, Any]) -> Response:
        """Publish the draft, now or at a set time.

        With `effect` `now` everybody is put in place by and by (see `recalculation` of the tiers in force); awards are
        right meanwhile. Refused while another recalculation goes on, and if the draft has another `revision`.
        """
        tenant_id, key = caller().tenant_id, sole_key(body.pop("idempotency_key"))
        policy = _policy(body)

        def act(session: Session) -> dict[str, Any]:
            asked = {"revision": body["revision"], "reason": body["reason"], "at": body["publish_at"], "actor": actor()}
            made = publishing.publish(session, tenant_id, policy=policy, **asked)
            return {"version": made.version if made else None, "publish_at": at(body["publish_at"])}

        said = {name: at(value) if isinstance(value, datetime) else value for name, value in body.items()}
        with naming(at="publish_at"):
            done = answers.once(database(), tenant_id, act, key=key, fingerprint=fingerprint("tiers-publish", said))
        publishing.finish_soon(database(), tenant_id)
        return answer(done.value, {"Idempotent-Replayed": "true"} if done.is_replay else {})


@blp.route("/publish/cancel")
class Cancel(MethodView):
    """Publications that are not to be."""

    init_every_request = False

    @needs("tiers:write")
    @blp.arguments(RevisionSchema(), example={"revision": DRAFT["revision"]})
    @blp.ok(DraftSchema, DRAFT)
    @blp.problems(*WITH_BODY, 409, s409=CHANGED)
    def post(self, body: dict[str, Any]) -> Response:
        """Let the draft wait to publish itself no longer."""
        tenant_id = caller().tenant_id
        with database().transaction(tenant_id) as session:
            return answer(show_draft(publishing.cancel(session, tenant_id, revision=body["revision"], actor=actor())))


@blp.route("/versions")
class Versions(MethodView):
    """Former ladders."""

    init_every_request = False

    @needs("tiers:read")
    @blp.arguments(VersionsPageSchema(), location="query")
    @blp.ok(VersionsSchema, VERSIONS)
    @blp.problems(422, s422=("invalid_request", "The request has invalid values", "limit: Must be a whole number from 1 to 100."))
    def get(self, page: dict[str, Any]) -> Response:
        """List the versions of the tiers, newest first, with what each has changed."""
        tenant_id, limit = caller().tenant_id, page["limit"]
        with database().transaction(tenant_id) as session:
            found = publishing.versions(session, tenant_id, before=page["cursor"], limit=limit)
        more = str(found[-1].ladder.version) if len(found) == limit and found[-1].before else None
        return answer({"versions": [show_version(each) for each in found], "next_cursor": more})


@blp.route("/versions/<int:version>/restore")
class Restore(MethodView):
    """Going back."""

    init_every_request = False

    @needs("tiers:write")
    @blp.arguments(RevisionSchema(), example={"revision": 5})
    @blp.ok(DraftSchema, DRAFT)
    @blp.problems(*WITH_BODY, 404, 409, s404=NO_VERSION, s409=CHANGED)
    def post(self, body: dict[str, Any], version: int) -> Response:
        """Make a former version the draft, to be looked at and published."""
        tenant_id = caller().tenant_id
        with database().transaction(tenant_id) as session:
            asked = {"revision": body["revision"], "actor": actor()}
            return answer(show_draft(drafts.restore(session, tenant_id, version, **asked)))


def _policy(body: dict[str, Any]) -> Policy:
    return Policy(body["effect"], body["falling"], body["kept_until"])


@contextmanager
def naming(**fields: str) -> Iterator[None]:
    """Name fields as the request does, where a service calls them otherwise."""
    try:
        yield
    except Invalid as error:
        if type(error) is not Invalid:  # what has a code of its own names its own fields
            raise
        raise Invalid([each._replace(field=fields.get(each.field, each.field)) for each in error.errors]) from error


def _movers(
    session: Session, tenant_id: int, content: Content, policy: Policy, *, now: datetime, asked: dict[str, Any] | None
) -> dict[str, Any] | None:
    if asked is None:
        return None
    with naming(**{name: f"movers.{name}" for name in asked}):
        moves = Moves(asked["direction"], asked["before"], asked["after"])
        page = {"cursor": asked["cursor"], "limit": asked["limit"]}
        found = previews.movers(session, tenant_id, content, policy, now=now, moves=moves, **page)
    return {"participants": [show_mover(row) for row in found.rows], "next_cursor": found.cursor}


def _content(session: Session, tenant_id: int, body: dict[str, Any]) -> Content:
    """Return the ladder of a body; what it does not say is as in the draft."""
    content = drafts.of(session, tenant_id).content
    if body["tiers"] is not None:
        rungs = (Rung(**tier | {"name": tier["name"] or usual_name(tier["code"])[:LONGEST_TEXT]}) for tier in body["tiers"])
        content = replace(content, rungs=tuple(rungs))
    if body["qualification"] is not None:
        content = replace(content, qualification=Qualification(**body["qualification"]))
    return content
