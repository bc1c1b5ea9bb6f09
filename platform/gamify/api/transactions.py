"""Transactions: entries of the tenant's ledger, found, shown and reversed."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from flask import Response, g, request
from flask.views import MethodView
from marshmallow import ValidationError

from gamify.api.document import REPLAYED, WITH_BODY, Blueprint
from gamify.api.fields import check_text
from gamify.api.guard import caller, needs
from gamify.api.idempotency import KEY_HEADER, sole_key
from gamify.api.json import answer
from gamify.api.reading_schemas import FoundSchema, NothingSchema, OwnedTransactionSchema, SearchSchema
from gamify.api.schemas import ReversedSchema, ReverseSchema
from gamify.deployment import database, deployment
from gamify.errors import FieldError, Invalid
from gamify.services import entries, reversals
from gamify.services.entries import Filter
from gamify.services.reversals import Reversal, Reversed

blp = Blueprint(
    "transactions",
    __name__,
    url_prefix="/api/v1/gamify/points/transactions",
    description="The ledger: search it, look at an entry, take one back.",
)

TRANSACTION = {
    "transaction_id": "0198f0c2-a1b2-7c3d-9e4f-5a6b7c8d9e0f",
    "type": "award",
    "amount": 100,
    "reason": "Purchase completed",
    "metadata": {"order_id": "ord_abc", "amount_usd": 49.99},
    "balance_after": 1500,
    "created_at": "2026-02-14T10:00:00Z",
    "reverses": None,
    "reversed_by": None,
}
OWNED = {**TRANSACTION, "participant_id": "user_123"}
REVERSED = {
    "transaction_id": "0198f0c3-b2c3-7d4e-8f50-6b7c8d9e0f1a",
    "participant_id": "user_123",
    "amount": 100,
    "new_balance": 1400,
    "reverses": TRANSACTION["transaction_id"],
    "requested": 100,
}
SPENT = ("insufficient_points", "Not enough points", "Insufficient points. Available: 30, requested: 100")
UNKNOWN = ("not_found", "Not found", f"There is no transaction {TRANSACTION['transaction_id']}.")
NO_TIME = ("invalid_request", "The request has invalid values", "from: Must be a time such as 2026-02-14T10:00:00Z.")
NO_PARAMETERS = ("invalid_request", "The request has invalid values", "page: Is not a known query parameter.")


@blp.route("")
class Transactions(MethodView):
    """The tenant's ledger."""

    init_every_request = False

    @needs("points:read")
    @blp.arguments(SearchSchema(), location="query")
    @blp.ok(FoundSchema, {"transactions": [OWNED], "next_cursor": None})
    @blp.problems(422, s422=NO_TIME)
    def get(self, search: dict[str, Any]) -> Response:
        """Search the transactions of all participants.

        Newest first; `next_cursor` leads to the older ones. A search that says more finds faster what is rare.
        """
        before, limit = _id_of(search.pop("cursor")), search.pop("limit")
        search.pop("metadata_member")
        wanted = Filter(**search, metadata=_metadata_members())
        found = entries.search(database(), caller().tenant_id, wanted, before=before, limit=limit)
        cursor = found.next_id and base64.urlsafe_b64encode(found.next_id.bytes).decode().rstrip("=")
        body = {"transactions": [show_owned(entry) for entry in found.entries], "next_cursor": cursor}
        return answer(body)


@blp.route("/<uuid:transaction_id>")
class Transaction(MethodView):
    """One entry."""

    init_every_request = False

    @needs("points:read")
    @blp.arguments(NothingSchema(), location="query")
    @blp.ok(OwnedTransactionSchema, OWNED)
    @blp.problems(404, 422, s404=UNKNOWN, s422=NO_PARAMETERS)
    def get(self, _nothing: dict[str, Any], transaction_id: UUID) -> Response:
        """Get one transaction."""
        entry = entries.find(database(), caller().tenant_id, transaction_id)
        return answer(show_owned(entry))


@blp.route("/<uuid:transaction_id>/reverse")
class Reverse(MethodView):
    """Reversals."""

    init_every_request = False

    @needs("points:write")
    @blp.arguments(ReverseSchema(), example={"reason": "Order cancelled", "idempotency_key": "cancel_ord_abc"})
    @blp.ok(ReversedSchema, REVERSED, headers=REPLAYED)
    @blp.problems(*WITH_BODY, 404, 409, parameters=[KEY_HEADER], s400=SPENT, s404=UNKNOWN)
    def post(self, values: dict[str, Any], transaction_id: UUID) -> tuple[Reversed, dict[str, str]]:
        """Reverse a transaction, once.

        An award's points are taken back (400 if they are spent already, unless `allow_partial`), a deduct's are given
        back. The tier follows, down too.
        """
        values |= {"idempotency_key": sole_key(values["idempotency_key"]), "allow_partial": bool(values["allow_partial"])}
        who = caller()
        reversal = Reversal(transaction_id, **values, api_key_id=who.api_key_id, request_id=g.request_id)
        done = reversals.reverse(database(), who.tenant_id, reversal)
        deployment().rollups.touch(who.tenant_id)
        return done, {"Idempotent-Replayed": "true"} if done.is_replay else {}


def show(entry: Any) -> dict[str, Any]:
    """Return an entry as the API shows it."""
    return {
        "transaction_id": str(entry.id),
        "type": entry.type,
        "amount": abs(entry.points),
        "reason": entry.reason,
        "metadata": entry.metadata and orjson.Fragment(entry.metadata),
        "balance_after": entry.balance_after,
        "created_at": timestamp(entry.created_at),
        "reverses": entry.reverses and str(entry.reverses),
        "reversed_by": entry.reversed_by and str(entry.reversed_by),
    }


def show_owned(entry: Any) -> dict[str, Any]:
    """Return an entry with whose it is."""
    return {**show(entry), "participant_id": entry.external_id}


def timestamp(at: datetime) -> str:
    """Return RFC 3339 in UTC."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _id_of(cursor: str | None) -> UUID | None:
    try:
        return None if cursor is None else UUID(bytes=base64.b64decode(f"{cursor}==", altchars=b"-_", validate=True))
    except (ValueError, binascii.Error) as error:
        raise Invalid([FieldError("cursor", "Is not a next_cursor of ours.")]) from error


def _metadata_members() -> dict[str, str]:
    prefix = f"{SearchSchema.dotted}."
    members = {name.removeprefix(prefix): value for name, value in request.args.items() if name.startswith(prefix)}
    for name, value in members.items():
        try:
            check_text(name + value)
        except ValidationError as error:
            raise Invalid([FieldError(f"{prefix}{name}", str(error.messages[0]))]) from error
    return members
