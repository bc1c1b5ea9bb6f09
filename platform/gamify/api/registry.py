"""Participants as people a business registers: named, described, found, and erased."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response
from flask.views import MethodView
from sqlalchemy.orm import Session

from gamify.api.document import WITH_BODY, Blueprint
from gamify.api.guard import actor, caller, needs
from gamify.api.json import answer
from gamify.api.reading_schemas import NothingSchema
from gamify.api.registry_schemas import (
    ChangeSchema,
    ErasedSchema,
    ListSchema,
    ParticipantQuerySchema,
    ParticipantSchema,
    ParticipantsSchema,
    RegisterSchema,
)
from gamify.api.transactions import timestamp
from gamify.deployment import database
from gamify.errors import FieldError, Invalid, NotFound
from gamify.models import ParticipantDetails, Tier
from gamify.services import details, erasures, ladder, participants, profiles
from gamify.services.listing import Wanted

blp = Blueprint(
    "registry",
    __name__,
    url_prefix="/api/v1/gamify/participants",
    description="Register participants, find them, say what they are called, and erase them.",
)

PERSON = {
    "participant_id": "user_123",
    "display_name": "Ana Sousa",
    "attributes": {"plan": "pro", "city": "Lisbon"},
    "tier": {"code": "gold", "name": "Gold Tier", "level": 3},
    "balance": 1500,
    "total_earned": 5000,
    "total_spent": 3500,
    "last_transaction_at": "2026-02-14T10:00:00Z",
    "created_at": "2026-01-02T09:30:00Z",
    "updated_at": "2026-01-02T09:30:00Z",
    "erased_at": None,
}
NEW = PERSON | {"tier": None, "balance": 0, "total_earned": 0, "total_spent": 0, "last_transaction_at": None}
ERASED = {"participant_id": "user_123", "erased_at": "2026-02-14T10:00:00Z"}
CHANGE = {"display_name": "Ana Sousa Lima", "attributes": {"city": None, "plan": "team"}}

WAS_ERASED = ("conflict", "That conflicts with what is there", "This participant was erased; register the person under a new id.")
UNKNOWN = ("not_found", "Not found", "There is no such participant.")
TOO_LONG = ("invalid_request", "The request has invalid values", "display_name: Must have 1 to 200 characters.")
NO_PARAMETER = ("invalid_request", "The request has invalid values", "name: Is not a known query parameter.")
NOBODY = ("invalid_request", "The request has invalid values", "participant_id: Is required.")


@blp.route("")
class Participants(MethodView):
    """Everybody, and whom only a query parameter reaches."""

    init_every_request = False

    @needs("participants:read")
    @blp.arguments(ListSchema(), location="query")
    @blp.ok(ParticipantsSchema, {"participants": [PERSON], "next_cursor": None})
    @blp.problems(422, s422=("invalid_request", "The request has invalid values", "tier: There is no tier platinum."))
    def get(self, asked: dict[str, Any]) -> Response:
        """List participants, or find some.

        In the order of their ids; `next_cursor` leads to those that follow. `participant_id` finds any id exactly, also
        one that ends like an address here, such as `team/points`.
        """
        tenant_id = caller().tenant_id
        with database().transaction(tenant_id) as session:
            if asked["participant_id"] is not None:
                return answer({"participants": _exactly(session, tenant_id, asked), "next_cursor": None})
            found = _search(session, tenant_id, asked)
            return answer({"participants": _shown(session, tenant_id, found.rows), "next_cursor": found.cursor})

    @needs("participants:write")
    @blp.arguments(RegisterSchema(), example={name: PERSON[name] for name in ("participant_id", "display_name", "attributes")})
    @blp.ok(ParticipantSchema, NEW)
    @blp.problems(*WITH_BODY, 409, s409=WAS_ERASED, s422=TOO_LONG)
    def post(self, said: dict[str, Any]) -> Response:
        """Register a participant, or update who is registered.

        No award is needed before. Who is known already keeps points and tier, and whatever is not said here; sent again, the
        same request changes nothing.
        """
        tenant_id = caller().tenant_id
        with database().transaction(tenant_id) as session:
            details.register(session, tenant_id, **said)
            return answer(_find(session, tenant_id, said["participant_id"]))

    @needs("participants:write")
    @blp.arguments(ChangeSchema(), example=CHANGE)
    @blp.arguments(ParticipantQuerySchema(), location="query")
    @blp.ok(ParticipantSchema, PERSON)
    @blp.problems(*WITH_BODY, 404, s404=UNKNOWN, s422=NOBODY)
    def patch(self, patch: dict[str, Any], who: dict[str, str]) -> Response:
        """Change a participant, whatever the id ends in."""
        return _change(who["participant_id"], patch)

    @needs("participants:write")
    @blp.arguments(ParticipantQuerySchema(), location="query")
    @blp.ok(ErasedSchema, ERASED)
    @blp.problems(404, 422, s404=UNKNOWN, s422=NOBODY)
    def delete(self, who: dict[str, str]) -> Response:
        """Erase a participant, whatever the id ends in."""
        return _erase(who["participant_id"])


@blp.route("/<bare_participant_id:participant_id>")
class Participant(MethodView):
    """One of them."""

    init_every_request = False

    @needs("participants:read")
    @blp.arguments(NothingSchema(), location="query")
    @blp.ok(ParticipantSchema, PERSON)
    @blp.problems(404, 422, s404=UNKNOWN, s422=NO_PARAMETER)
    def get(self, _nothing: dict[str, Any], participant_id: str) -> Response:
        """Get a participant: name, attributes, tier and points."""
        tenant_id = caller().tenant_id
        with database().transaction(tenant_id) as session:
            return answer(_find(session, tenant_id, participant_id))

    @needs("participants:write")
    @blp.arguments(ChangeSchema(), example=CHANGE)
    @blp.ok(ParticipantSchema, PERSON | {"display_name": "Ana Sousa Lima", "attributes": {"plan": "team"}})
    @blp.problems(*WITH_BODY, 404, s404=UNKNOWN, s422=TOO_LONG)
    def patch(self, patch: dict[str, Any], participant_id: str) -> Response:
        """Change a participant's name or attributes.

        What is absent stays, null takes away. Attributes are merged (RFC 7396), however deep.
        """
        return _change(participant_id, patch)

    @needs("participants:write")
    @blp.arguments(NothingSchema(), location="query")
    @blp.ok(ErasedSchema, ERASED)
    @blp.problems(404, 422, s404=UNKNOWN, s422=NO_PARAMETER)
    def delete(self, _nothing: dict[str, Any], participant_id: str) -> Response:
        """Erase a participant: the person's data goes, the sums stay.

        Id, name, attributes, and the reasons and metadata of transactions are gone for good; points, tiers and totals stay,
        of somebody whom nobody knows. The id is free: an award to it creates somebody new. Sent again it is 404, for
        there is nobody of that id any more.
        """
        return _erase(participant_id)


def _exactly(session: Session, tenant_id: int, asked: dict[str, Any]) -> list[dict[str, Any]]:
    others = [name for name in ("tier", "q", "cursor") if asked[name] is not None]
    if others:
        raise Invalid([FieldError(name, "Cannot be asked for beside participant_id.") for name in others])
    try:
        return [_find(session, tenant_id, asked["participant_id"])]
    except NotFound:
        return []


def _search(session: Session, tenant_id: int, asked: dict[str, Any]) -> participants.Found:
    numbers = {tier.code: number for number, tier in ladder.known(session, tenant_id).items()}
    if asked["tier"] is not None and asked["tier"] not in numbers:
        raise Invalid([FieldError("tier", f"There is no tier {asked['tier']}.")])
    tiers = (numbers[asked["tier"]],) if asked["tier"] is not None else ()
    wanted = Wanted(fragment=asked["q"] or None, tiers=tiers, sort="id")
    try:
        return participants.search(session, tenant_id, wanted, after=asked["cursor"], limit=asked["limit"])
    except Invalid as error:
        raise Invalid([FieldError("cursor", "Is not a next_cursor of ours.")]) from error


def _change(participant_id: str, patch: dict[str, Any]) -> Response:
    tenant_id = caller().tenant_id
    with database().transaction(tenant_id) as session:
        details.change(session, tenant_id, participant_id, patch=patch)
        return answer(_find(session, tenant_id, participant_id))


def _erase(participant_id: str) -> Response:
    tenant_id = caller().tenant_id
    with database().transaction(tenant_id) as session:
        erased_at = erasures.erase(session, tenant_id, participant_id, actor=actor())
    erasures.catch_up(database(), tenant_id, seconds=erasures.QUICK)
    return answer({"participant_id": participant_id, "erased_at": timestamp(erased_at)})


def _find(session: Session, tenant_id: int, participant_id: str) -> dict[str, Any]:
    [shown] = _shown(session, tenant_id, [profiles.find(session, tenant_id, participant_id)])
    return shown


def _shown(session: Session, tenant_id: int, people: Sequence[Any]) -> list[dict[str, Any]]:
    """Return participants, or rows of a list of them, as the API shows them."""
    known = details.of(session, tenant_id, [person.id for person in people])
    tiers = ladder.known(session, tenant_id)
    return [_show(person, known.get(person.id), tiers) for person in people]


def _show(person: Any, known: ParticipantDetails | None, tiers: Mapping[int, Tier]) -> dict[str, Any]:
    tier = tiers.get(person.tier)
    has_moved = person.last_entry_at > participants.NEVER
    return {
        "participant_id": person.external_id,
        "display_name": known.display_name if known else None,
        "attributes": known.attributes if known else {},
        "tier": tier and {"code": tier.code, "name": tier.name, "level": tier.level},
        "balance": person.balance,
        "total_earned": person.total_earned,
        "total_spent": person.total_spent,
        "last_transaction_at": timestamp(person.last_entry_at) if has_moved else None,
        "created_at": timestamp(person.created_at),
        "updated_at": timestamp(known.updated_at) if known else None,
        "erased_at": person.erased_at and timestamp(person.erased_at),
    }
