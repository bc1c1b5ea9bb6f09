"""Award and deduct: one at a time, or a batch of awards."""

from typing import Any

from flask import Response, g
from flask.views import MethodView
from marshmallow import ValidationError

from gamify.api.body import flatten
from gamify.api.document import REPLAYED, WITH_BODY, Blueprint
from gamify.api.guard import caller, needs
from gamify.api.idempotency import BATCH_KEY_HEADER, KEY_HEADER, header_key, sole_key
from gamify.api.json import answer
from gamify.api.schemas import (
    AwardedSchema,
    AwardSchema,
    BatchAnswerSchema,
    BatchSchema,
    DeductedSchema,
    DeductSchema,
)
from gamify.deployment import database, deployment
from gamify.errors import DomainError, FieldError, Invalid, Malformed
from gamify.services import batches
from gamify.services.batches import Answer, Batch, Item
from gamify.services.idempotency import fingerprint
from gamify.services.ledger import AWARD, DEDUCT, Movement, Receipt

blp = Blueprint("points", __name__, url_prefix="/api/v1/gamify/points", description="Award and deduct points.")

MOVED = {
    "transaction_id": "0198f0c2-a1b2-7c3d-9e4f-5a6b7c8d9e0f",
    "participant_id": "user_123",
    "amount": 100,
    "new_balance": 1500,
}
UPGRADE = {"code": "gold", "name": "Gold Tier", "level": 3, "previous_code": "silver", "previous_level": 2}
AWARDS = [
    {"participant_id": "user_1", "amount": 100, "reason": "Weekly bonus"},
    {"participant_id": "user_2", "amount": 100, "reason": "Weekly bonus"},
    {"participant_id": "user_3", "amount": 50, "reason": "Referral bonus"},
]
RESULTS = [
    {
        "participant_id": award["participant_id"],
        "transaction_id": f"0198f0c2-a1b2-7c3d-9e4f-5a6b7c8d9e0{n}",
        "new_balance": balance,
        "tier_upgrade": None,
        "error": None,
    }
    for n, (award, balance) in enumerate(zip(AWARDS, (500, 350, 200), strict=True))
]
INSUFFICIENT = ("insufficient_points", "Not enough points", "Insufficient points. Available: 30, requested: 50")

ONE_AWARD = AwardSchema()


@blp.route("/award")
class Award(MethodView):
    """Awards."""

    init_every_request = False

    @needs("points:write")
    @blp.arguments(
        ONE_AWARD,
        example={
            "participant_id": "user_123",
            "amount": 100,
            "reason": "Purchase completed",
            "metadata": {"order_id": "ord_abc", "amount_usd": 49.99},
            "idempotency_key": "purchase_ord_abc",
        },
    )
    @blp.ok(AwardedSchema, {**MOVED, "tier_upgrade": UPGRADE}, headers=REPLAYED)
    @blp.problems(*WITH_BODY, parameters=[KEY_HEADER])
    def post(self, award: dict[str, Any]) -> Response:
        """Award points.

        Returns the new balance and the tier this award has led to, if any. The first award creates the participant.
        """
        receipt = _post(AWARD, award)
        return answer({**_show(receipt), "tier_upgrade": receipt.tier_upgrade}, _headers(receipt))


@blp.route("/deduct")
class Deduct(MethodView):
    """Deducts."""

    init_every_request = False

    @needs("points:write")
    @blp.arguments(DeductSchema(), example={"participant_id": "user_123", "amount": 50, "reason": "Reward redemption"})
    @blp.ok(DeductedSchema, {**MOVED, "amount": 50, "new_balance": 1450}, headers=REPLAYED)
    @blp.problems(*WITH_BODY, parameters=[KEY_HEADER], s400=INSUFFICIENT)
    def post(self, deduct: dict[str, Any]) -> Response:
        """Deduct points.

        Returns 400 when there are too few; the balance is never negative and tiers are never lost by spending.
        """
        receipt = _post(DEDUCT, deduct)
        return answer(_show(receipt), _headers(receipt))


@blp.route("/award-batch")
class AwardBatch(MethodView):
    """Batches of awards."""

    @needs("points:write")
    @blp.arguments(BatchSchema(), example={"awards": AWARDS})
    @blp.ok(BatchAnswerSchema, {"processed": 3, "failed": 0, "results": RESULTS}, headers=REPLAYED)
    @blp.problems(*WITH_BODY, parameters=[BATCH_KEY_HEADER])
    def post(self, batch: dict[str, Any]) -> Response:
        """Award points to up to 100 participants at once.

        Each award succeeds or fails alone. They apply in order, in one transaction. An award with an `idempotency_key`
        behaves as a single award with that key does.
        """
        done = batches.award(database(), caller().tenant_id, _read_batch(batch["awards"]))
        deployment().rollups.touch(caller().tenant_id)
        return Response(done.text, 200, _headers(done), mimetype="application/json")


def _post(kind: str, values: dict[str, Any]) -> Receipt:
    movement = _movement(kind, values | {"idempotency_key": sole_key(values["idempotency_key"])})
    outcome = deployment().gatherer.post(caller().tenant_id, movement)
    if isinstance(outcome, DomainError):
        raise outcome
    deployment().rollups.touch(caller().tenant_id)
    return outcome


def _show(receipt: Receipt) -> dict[str, Any]:
    return {
        "transaction_id": receipt.transaction_id,
        "participant_id": receipt.participant_id,
        "amount": receipt.amount,
        "new_balance": receipt.new_balance,
    }


def _headers(done: Receipt | Answer) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if done.is_replay else {}


def _read_batch(elements: list[Any]) -> Batch:
    key = header_key()
    try:
        return Batch(
            items=[_read_item(element, key) for element in elements],
            participant_ids=[_participant_id(element) for element in elements],
            idempotency_key=key,
            fingerprint=fingerprint("award-batch", *map(_without_nulls, elements)) if key else b"",
        )
    except RecursionError as error:
        raise Malformed("The body is nested too deeply.") from error


def _read_item(element: Any, batch_key: str | None) -> Item:
    if not isinstance(element, dict):
        return Invalid([FieldError("award", "Must be a JSON object.")])
    try:
        values: dict[str, Any] = ONE_AWARD.load(element)
    except ValidationError as error:
        return Invalid(flatten(error.messages))
    if batch_key and values["idempotency_key"] == batch_key:
        return Invalid([FieldError("idempotency_key", "This key stands for the whole batch.")])
    return _movement(AWARD, values)


def _movement(kind: str, values: dict[str, Any]) -> Movement:
    return Movement(kind, **values, api_key_id=caller().api_key_id, request_id=g.request_id)


def _participant_id(element: Any) -> str | None:
    found = element.get("participant_id") if isinstance(element, dict) else None
    return found if isinstance(found, str) else None


def _without_nulls(element: Any) -> Any:
    """Null is the same as absent for the members of an award."""
    return {k: v for k, v in element.items() if v is not None} if isinstance(element, dict) else element
