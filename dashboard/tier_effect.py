"""What a draft would do, as pages show it: figures, flows, and those who move."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from gamify.errors import FieldError, Invalid
from gamify.models import Tier
from gamify.services import ladder, previews
from gamify.services.drafts import Content, Rung
from gamify.services.previews import Movers, Moves, Preview
from gamify.services.tiers import Policy
from sqlalchemy.orm import Session

from dashboard import tier_flow, tier_form
from dashboard.tier_flow import Chart

PAGE = 25  # movers


class Shown(NamedTuple):
    """A tier as pages show it."""

    code: str
    name: str
    tone: str


Looks = Mapping[str | None, Shown | None]


@dataclass(frozen=True)
class Effect:
    """What a draft would do; while there is a `rest` to go on with, only to a `share` of everybody."""

    told: Preview
    chart: Chart
    share: float
    rest: str | None


def asked(values: Mapping[str, str]) -> Moves:
    """Read the parameters of an address; an empty code is no tier."""
    return Moves(values.get("direction") or None, values.get("before"), values.get("after"))


def effect(
    session: Session, tenant_id: int, content: Content, policy: Policy, *, now: datetime, so_far: str | None = None
) -> Effect:
    """Work out what publishing would do; where that takes long, some of it. Raises `Invalid` for what cannot be published."""
    try:
        part = previews.part(session, tenant_id, content, policy, now=now, so_far=so_far)
    except Invalid:  # what is counted so far may be of a draft that has changed since
        part = previews.part(session, tenant_id, content, policy, now=now)
    of = looks(content, ladder.known(session, tenant_id).values())
    return Effect(part.preview, _chart(part.preview, of), part.done_count / max(part.total_count, 1), part.rest)


def movers(
    session: Session, tenant_id: int, content: Content, policy: Policy, moves: Moves, *, now: datetime, cursor: str | None = None
) -> Movers:
    """Return a page of those who would move."""
    return previews.movers(session, tenant_id, content, policy, now=now, moves=moves, cursor=cursor, limit=PAGE)


def looks(content: Content, known: Iterable[Tier]) -> Looks:
    """How to show every tier that is drafted or has ever been, by its code: as the draft has it, if it has."""
    rungs = sorted(content.rungs, key=lambda rung: rung.threshold or 0)
    found: dict[str | None, Shown | None] = {None: None, previews.NO_TIER: None}
    found |= {tier.code: Shown(tier.code, tier.name, tier.tone) for tier in known}
    tones = tier_form.tones(rungs)
    return found | {rung.code: Shown(rung.code, rung.name, tone) for rung, tone in zip(rungs, tones, strict=True)}


def _chart(told: Preview, of: Looks) -> Chart:
    def tally(rung: Rung | None, count: int) -> tier_flow.Tally:
        look = of[rung.code] if rung else None
        return (
            tier_flow.Tally(look.code, look.name, look.tone, count) if look else tier_flow.Tally(None, "No tier", "slate", count)
        )

    highest_first = list(reversed(told.shifts))
    before = [tally(shift.rung, shift.before) for shift in highest_first]
    after = [tally(shift.rung, shift.after) for shift in highest_first]
    return tier_flow.chart(before, after, {(flow.before_code, flow.after_code): flow.count for flow in told.flows})


def policy_of(values: Mapping[str, Any]) -> Policy:
    """Whether those who would fall do, as a preview asks: they keep their tier unless said otherwise. Raises `Invalid`."""
    falling = values.get("falling", "keep")
    if falling not in ("keep", "move_down"):
        raise Invalid([FieldError("falling", "Choose keep or move_down.")])
    return Policy("now", falling)
