"""Ladders as tests write them, and participants to stand on them."""

from gamify.models import Ladder, Participant, TierHold
from gamify.services import drafts, ladder, ledger, publishing
from gamify.services.audit import Actor
from gamify.services.drafts import LIFETIME_EARNED, Content, Draft, Rung
from gamify.services.tiers import Policy, Qualification, usual_name
from sqlalchemy import select

from tests.harness import TenantUnderTest

ANA, BEN = (Actor("user", f"{name}@shop.example", n) for n, name in enumerate(("ana", "ben"), start=7))
KEEP, MOVE_DOWN = Policy(), Policy("now", "move_down")


def content(qualification: Qualification = LIFETIME_EARNED, **thresholds: int) -> Content:
    """A ladder with usual names."""
    return Content(tuple(Rung(code, usual_name(code), least) for code, least in thresholds.items()), qualification)


def save(t: TenantUnderTest, wanted: Content, *, actor: Actor = ANA) -> Draft:
    """Make it the draft, whatever there is."""
    with t.here.database.transaction(t.id) as session:
        return drafts.save(session, t.id, wanted, revision=drafts.of(session, t.id).revision, actor=actor)


def publish(t: TenantUnderTest, wanted: Content, policy: Policy = KEEP, *, is_finished: bool = True) -> Ladder:
    """Publish it at once, and put everybody in place."""
    revision = save(t, wanted).revision
    with t.here.database.transaction(t.id) as session:
        made = publishing.publish(session, t.id, revision=revision, policy=policy, reason=None, actor=ANA)
    if is_finished:
        publishing.finish_soon(t.here.database, t.id)
    assert made
    return made


def award(t: TenantUnderTest, **points: int) -> None:
    """Award points to participants of these names."""
    ledger.post(t.here.database, t.id, [ledger.Movement(ledger.AWARD, who, earned) for who, earned in points.items()])


def tiers_of(t: TenantUnderTest) -> dict[str, str | None]:
    """Everybody's tier, by its code."""
    with t.here.database.transaction(t.id) as session:
        known = ladder.known(session, t.id)
        people = session.execute(select(Participant.external_id, Participant.tier).where(Participant.tenant_id == t.id))
        return {who: known[number].code if number else None for who, number in people}


def held_by(t: TenantUnderTest, kind: str) -> set[str]:
    """Those whose tier is kept or pinned."""
    with t.here.database.transaction(t.id) as session:
        held = select(Participant.external_id).join(TierHold, TierHold.participant_id == Participant.id)
        return set(session.scalars(held.where(TierHold.tenant_id == t.id, TierHold.kind == kind)))
