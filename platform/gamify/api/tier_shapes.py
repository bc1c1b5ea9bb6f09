"""What ladders, drafts and previews look like in answers."""

from datetime import UTC, datetime
from typing import Any

from gamify.models import Ladder, Recalculation, Tier
from gamify.services import drafts
from gamify.services.drafts import Content, Draft, Rung
from gamify.services.previews import Mover, Part, Shift
from gamify.services.publishing import Difference, Version
from gamify.services.tiers import Qualification


def show_draft(draft: Draft) -> dict[str, Any]:
    """Return a draft, and what stands in the way of publishing it."""
    said = draft.publication or {}
    publication = {**said["policy"], "reason": said["reason"], "publish_at": at(draft.publish_at)} if said else None
    return {
        "revision": draft.revision,
        "is_saved": draft.is_saved,
        "based_on": draft.based_on,
        **show_content(draft.content),
        "problems": [problem._asdict() for problem in drafts.problems(draft.content)],
        "changed_by": draft.changed_by,
        "changed_at": at(draft.changed_at),
        "publication": publication,
    }


def show_content(content: Content) -> dict[str, Any]:
    """Return tiers and how to qualify, as a draft says them."""
    return {"tiers": [rung._asdict() for rung in content.rungs], "qualification": content.qualification._asdict()}


def show_tier(tier: Tier) -> dict[str, Any]:
    """Return a tier of a version."""
    names = ("code", "name", "level", "threshold", "colour")
    return {name: getattr(tier, name) for name in names}


def show_ladder(ladder: Ladder | None) -> dict[str, Any]:
    """Return all of a version but its tiers; what stands for none is version 0."""
    if ladder is None:
        return show_ladder(Ladder(version=0, basis="lifetime", effect="now", falling="keep", time_zone="UTC"))
    qualification = Qualification(ladder.basis, ladder.window_days, ladder.grace_days)
    return {
        "version": ladder.version,
        "qualification": {**qualification._asdict(), "time_zone": ladder.time_zone},
        "effect": ladder.effect,
        "falling": ladder.falling,
        "kept_until": at(ladder.kept_until),
        "reason": ladder.reason,
        "published_by": ladder.published_by,
        "published_at": at(ladder.created_at),
    }


def show_recalculation(found: Recalculation) -> dict[str, Any]:
    """Return how far it has come."""
    return {
        "done": found.done_count,
        "total": max(found.total_count, found.done_count),
        "moved": found.moved_count,
        "started_at": at(found.started_at),
    }


def show_part(part: Part) -> dict[str, Any]:
    """Return a preview, as far as it is counted."""
    found = part.preview
    counts = {name: getattr(found, name) for name in ("rise", "fall", "stay", "kept", "pinned")}
    surprises = [
        {"participant_id": each.participant_id, "points": each.points, "missing": each.missing, "code": each.rung.code}
        for each in found.surprises
    ]
    return {
        "total": found.total,
        **counts,
        "tiers": [show_shift(shift) for shift in found.shifts],
        "flows": [{"before": flow.before_code, "after": flow.after_code, "count": flow.count} for flow in found.flows],
        "surprises": surprises,
        "is_complete": part.rest is None,
        "progress": {"done": part.done_count, "total": part.total_count},
        "continue_from": part.rest,
    }


def show_shift(shift: Shift) -> dict[str, Any]:
    """Return a tier with its participants before and after."""
    code, name = (shift.rung.code, shift.rung.name) if shift.rung else (None, None)
    return {"code": code, "name": name, "before": shift.before, "after": shift.after}


def show_mover(mover: Mover) -> dict[str, Any]:
    """Return somebody who would move."""
    said = mover._asdict()
    before, after = said.pop("before_code"), said.pop("after_code")
    return {**said, "before": before, "after": after}


def show_version(version: Version) -> dict[str, Any]:
    """Return a version with what it has changed."""
    tiers = [show_tier(tier) for tier in version.tiers]
    return {**show_ladder(version.ladder), "tiers": tiers, "changes": [show_difference(each) for each in version.changes]}


def show_difference(each: Difference) -> dict[str, Any]:
    """Return what has become of one tier."""
    return {"code": each.code, "kind": each.kind, "before": _rung(each.before), "after": _rung(each.after)}


def at(instant: datetime | None) -> str | None:
    """Return RFC 3339 in UTC."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z" if instant else None


def _rung(rung: Rung | None) -> dict[str, Any] | None:
    return rung._asdict() if rung else None
