"""What participants have, and how they came by it."""

from typing import Any

from flask import Response
from flask.views import MethodView

from gamify.api.document import Blueprint
from gamify.api.guard import caller, needs
from gamify.api.json import answer
from gamify.api.reading_schemas import HistorySchema, InstantSchema, PageSchema, PointsSchema
from gamify.api.transactions import TRANSACTION, show
from gamify.deployment import database
from gamify.services import entries

blp = Blueprint("participants", __name__, url_prefix="/api/v1/gamify/participants", description="Balances and histories.")


@blp.route("/<participant_id:participant_id>/points/transactions")
class Transactions(MethodView):
    """Histories."""

    init_every_request = False

    @needs("points:read")
    @blp.arguments(PageSchema(), location="query")
    @blp.ok(HistorySchema, {"transactions": [TRANSACTION], "total": 156, "page": 1, "page_size": 20})
    @blp.problems(404, 422, s422=("invalid_request", "The request has invalid values", "page: Must be a whole number."))
    def get(self, page: dict[str, int], participant_id: str) -> Response:
        """Page through a participant's transactions.

        Newest first. Past the end the list is empty and `total` still true; the last page costs what the first does.
        """
        found = entries.history(database(), caller().tenant_id, participant_id, **page)
        return answer({"transactions": [show(entry) for entry in found.entries], "total": found.total, **page})


@blp.route("/<participant_id:participant_id>/points")
class Points(MethodView):
    """Balances."""

    init_every_request = False

    @needs("points:read")
    @blp.arguments(InstantSchema(), location="query")
    @blp.ok(PointsSchema, {"participant_id": "user_123", "balance": 1500, "total_earned": 5000, "total_spent": 3500})
    @blp.problems(
        404, 422, s422=("invalid_request", "The request has invalid values", "at: Must be a time such as 2026-02-14T10:00:00Z.")
    )
    def get(self, instant: dict[str, Any], participant_id: str) -> Response:
        """Get a participant's balance, total earned and total spent, now or at an instant."""
        return answer(entries.points(database(), caller().tenant_id, participant_id, **instant)._asdict())
