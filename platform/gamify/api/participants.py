"""What participants have, and how they came by it."""

from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response
from flask.views import MethodView

from gamify.api.document import Blueprint
from gamify.api.guard import caller, needs
from gamify.api.schemas import HistorySchema, NothingSchema, PageSchema, PointsSchema
from gamify.deployment import database
from gamify.services import ledger

blp = Blueprint("participants", __name__, url_prefix="/api/v1/gamify/participants", description="Balances and histories.")

TRANSACTION = {
    "transaction_id": "0198f0c2-a1b2-7c3d-9e4f-5a6b7c8d9e0f",
    "type": "award",
    "amount": 100,
    "reason": "Purchase completed",
    "metadata": {"order_id": "ord_abc", "amount_usd": 49.99},
    "balance_after": 1500,
    "created_at": "2026-02-14T10:00:00Z",
}


@blp.route("/<participant_id:participant_id>/points/transactions")
class Transactions(MethodView):
    """Histories."""

    @needs("points:read")
    @blp.arguments(PageSchema, location="query")
    @blp.ok(HistorySchema, {"transactions": [TRANSACTION], "total": 156, "page": 1, "page_size": 20})
    @blp.problems(404, 422, s422=("invalid_request", "The request has invalid values", "page: Must be a whole number."))
    def get(self, page: dict[str, int], participant_id: str) -> Response:
        """Page through a participant's transactions.

        Newest first. Past the end the list is empty and `total` still true; the last page costs what the first does.
        """
        found = ledger.history(database(), caller().tenant_id, participant_id, **page)
        # By hand and not through the schema, which takes eight times as long; a test holds the two together.
        body = {"transactions": [transaction(entry) for entry in found.entries], "total": found.total, **page}
        return Response(orjson.dumps(body), mimetype="application/json")


@blp.route("/<participant_id:participant_id>/points")
class Points(MethodView):
    """Balances."""

    @needs("points:read")
    @blp.arguments(NothingSchema, location="query")
    @blp.ok(PointsSchema, {"participant_id": "user_123", "balance": 1500, "total_earned": 5000, "total_spent": 3500})
    @blp.problems(404, 422, s422=("invalid_request", "The request has invalid values", "at: Is not a known query parameter."))
    def get(self, _nothing: dict[str, Any], participant_id: str) -> ledger.Points:
        """Get a participant's balance, total earned and total spent."""
        return ledger.points_of(database(), caller().tenant_id, participant_id)


def transaction(entry: Any) -> dict[str, Any]:
    """Return an entry as the API shows it."""
    return {
        "transaction_id": str(entry.id),
        "type": entry.type,
        "amount": abs(entry.points),
        "reason": entry.reason,
        "metadata": entry.metadata_ and orjson.Fragment(entry.metadata_),
        "balance_after": entry.balance_after,
        "created_at": timestamp(entry.created_at),
    }


def timestamp(at: datetime) -> str:
    """Return RFC 3339 in UTC."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
