"""Participants' tiers: what they hold and why, what comes next, and pins by hand."""

from datetime import UTC, datetime
from typing import Any

from flask import Response
from flask.views import MethodView
from sqlalchemy.orm import Session

from gamify.api.document import WITH_BODY, Blueprint
from gamify.api.guard import actor, caller, needs
from gamify.api.json import answer
from gamify.api.standing_schemas import (
    BEGINNING,
    AssignSchema,
    HistoryPageSchema,
    StandingHistorySchema,
    StandingSchema,
    UnassignSchema,
)
from gamify.api.transactions import TRANSACTION, timestamp
from gamify.deployment import database
from gamify.models import Tier
from gamify.models.tier_hold import KEEP, PIN
from gamify.services import cursor, holds, profiles, tier_history, tier_words
from gamify.services.counting import Counting
from gamify.services.cursor import Cursor
from gamify.services.profiles import Profile
from gamify.services.tier_history import Change, Position

blp = Blueprint("standings", __name__, url_prefix="/api/v1/gamify", description="A participant's tier, and pins by hand.")

SILVER = {"code": "silver", "name": "Silver Tier", "level": 2}
GOLD = {"code": "gold", "name": "Gold Tier", "level": 3}
EARNED = {
    "participant_id": "user_123",
    "current": {**SILVER, "since": "2026-02-14T10:00:00Z", "cause": "award", "explanation": "Earned by an award"},
    "pinned": None,
    "kept": None,
    "next": {**GOLD, "points_required": 1500, "points_remaining": 300},
    "qualifying": {"basis": "lifetime", "points": 1200, "from": None, "to": None, "lasts_until": None},
}
HISTORY = [
    {
        "at": "2026-02-14T10:00:00Z",
        "cause": "award",
        "explanation": "Earned by an award",
        "before": {"code": "bronze", "name": "Bronze Tier", "level": 1},
        "after": SILVER,
        "is_kept": False,
        "reason": "Purchase completed",
        "by": None,
        "ladder_version": 4,
        "transaction_id": TRANSACTION["transaction_id"],
    }
]
WHY = "Partner of the house"
BY_KEY = "gk_live_5VnYq0aB"
PINNED = {
    **EARNED,
    "current": {
        **GOLD,
        "since": "2026-03-01T09:00:00Z",
        "cause": "pinned",
        "explanation": f"Pinned by {BY_KEY}: {WHY}",
    },
    "pinned": {"since": "2026-03-01T09:00:00Z", "until": "2027-01-01T00:00:00Z", "reason": WHY, "by": BY_KEY},
    "next": None,
}
NOBODY = ("not_found", "Not found", "There is no such participant yet; the first award creates one.")
NO_TIER = ("invalid_request", "The request has invalid values", "tier: There is no such tier on the ladder in force.")
NO_LIMIT = ("invalid_request", "The request has invalid values", "limit: Must be a whole number from 1 to 100.")


@blp.route("/participants/<participant_id:participant_id>/tier")
class Standing(MethodView):
    """Tiers of participants."""

    init_every_request = False

    @needs("tiers:read")
    @blp.arguments(HistoryPageSchema(), location="query")
    @blp.ok(StandingHistorySchema, {**EARNED, "history": HISTORY, "next_cursor": None})
    @blp.problems(404, 422, s404=NOBODY, s422=NO_LIMIT)
    def get(self, page: dict[str, Any], participant_id: str) -> Response:
        """Get a participant's tier: since when and why, what the next one takes, and how it has changed.

        The history has every change, newest first; `next_cursor` leads to the older ones.
        """
        begin = cursor.read(page["cursor"], int, field="cursor") if page["cursor"] else None
        tenant_id, before, limit = caller().tenant_id, begin and Position(*begin), page["limit"]
        with database().snapshot(tenant_id) as session:
            found = profiles.profile(session, tenant_id, participant_id, now=datetime.now(UTC))
            changes = tier_history.changes(session, tenant_id, found.participant, before=before, most=limit + 1)
        more = Cursor(*changes[limit - 1].position).write() if len(changes) > limit else None
        return answer({**_show(found), "history": [_show_change(each) for each in changes[:limit]], "next_cursor": more})


@blp.route("/tiers/assign")
class Assign(MethodView):
    """Pins."""

    init_every_request = False

    @needs("tiers:write")
    @blp.arguments(
        AssignSchema(),
        example={"participant_id": "user_123", "tier": "gold", "reason": WHY, "expires_at": "2027-01-01T00:00:00Z"},
    )
    @blp.ok(StandingSchema, PINNED)
    @blp.problems(*WITH_BODY, 404, s404=NOBODY, s422=NO_TIER)
    def post(self, body: dict[str, Any]) -> Response:
        """Pin a participant to a tier, whatever they earn.

        Awards do not unpin. At `expires_at` they return to the tier that they have earned by then. Another pin takes the
        place of the first; the same again changes nothing, so no idempotency key is needed.
        """
        tenant_id, who = caller().tenant_id, body["participant_id"]
        asked = {"code": body["tier"], "reason": body["reason"], "until": body["expires_at"], "now": datetime.now(UTC)}
        with database().transaction(tenant_id) as session:
            holds.pin(session, tenant_id, who, **asked, actor=actor())
            return answer(_found(session, tenant_id, who))


@blp.route("/tiers/unassign")
class Unassign(MethodView):
    """Pins that end."""

    init_every_request = False

    @needs("tiers:write")
    @blp.arguments(UnassignSchema(), example={"participant_id": "user_123", "reason": "The contract has ended"})
    @blp.ok(StandingSchema, EARNED)
    @blp.problems(*WITH_BODY, 404, s404=NOBODY)
    def post(self, body: dict[str, Any]) -> Response:
        """Unpin a participant, who returns to the tier that they have earned.

        Who is not pinned stays where they are, so this can be repeated freely.
        """
        tenant_id, who = caller().tenant_id, body["participant_id"]
        with database().transaction(tenant_id) as session:
            holds.unpin(session, tenant_id, who, reason=body["reason"], actor=actor())
            return answer(_found(session, tenant_id, who))


def _found(session: Session, tenant_id: int, participant_id: str) -> dict[str, Any]:
    session.expire_all()  # the database itself has moved them
    return _show(profiles.profile(session, tenant_id, participant_id, now=datetime.now(UTC)))


def _show(found: Profile) -> dict[str, Any]:
    pin, keep = found.holds.get(PIN), found.holds.get(KEEP)
    pinned = pin and {"since": timestamp(pin.created_at), "until": _at(pin.until), "reason": pin.reason, "by": pin.held_by}
    return {
        "participant_id": found.participant.external_id,
        "current": _show_held(found),
        "pinned": pinned,
        "kept": keep and {"until": _at(keep.until)},
        "next": _show_next(found),
        "qualifying": _show_counting(found.counting),
    }


def _show_held(found: Profile) -> dict[str, Any] | None:
    if found.place.held is None or found.held_since is None:
        return None
    cause = found.led_to.cause if found.led_to else BEGINNING
    said = {"since": timestamp(found.held_since), "cause": cause, "explanation": tier_words.because(found.led_to)}
    return {**_show_tier(found.place.held), **said}


def _show_next(found: Profile) -> dict[str, Any] | None:
    following = found.place.next
    points = {"points_required": following.threshold, "points_remaining": found.place.missing} if following else {}
    return {**_show_tier(following), **points} if following else None


def _show_counting(counting: Counting) -> dict[str, Any]:
    times = {"from": _at(counting.since), "to": _at(counting.until), "lasts_until": _at(counting.lasts_until)}
    return {"basis": counting.basis, "points": counting.points, **times}


def _show_change(change: Change) -> dict[str, Any]:
    return {
        "at": timestamp(change.at),
        "cause": change.cause,
        "explanation": tier_words.because(change),
        "before": change.before and _show_tier(change.before),
        "after": change.after and _show_tier(change.after),
        "is_kept": change.is_kept,
        "reason": change.reason,
        "by": change.changed_by,
        "ladder_version": change.ladder_version,
        "transaction_id": change.entry_id and str(change.entry_id),
    }


def _show_tier(tier: Tier) -> dict[str, Any]:
    return {"code": tier.code, "name": tier.name, "level": tier.level}


def _at(instant: datetime | None) -> str | None:
    return timestamp(instant) if instant else None
