"""How each service function that changes something is called, and the rows of the audit logs that it writes."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pyotp
from gamify.db import act_as
from gamify.models import Export, SavedReport, Tenant, User
from gamify.services import (
    adjustments,
    api_keys,
    deletion,
    details,
    drafts,
    erasures,
    export_contents,
    exports,
    holds,
    ledger,
    links,
    publishing,
    schedules,
    second_factor,
    sessions,
    tenants,
    tiers,
    users,
)
from gamify.services.audit import SYSTEM, Actor
from gamify.services.entries import Filter
from gamify.services.person_log import Place
from sqlalchemy.orm import Session

from tests.harness import PEPPER, TenantUnderTest, names

ANA = Actor("user", "ana@shop.example", 7, "203.0.113.9", "req-1")
PASSWORD, OTHER_PASSWORD = "correct horse battery", "another horse battery"
TENANT, SANDBOX, PLATFORM = "tenant", "sandbox", "platform"
NOW = datetime.now(UTC)

Rows = Counter[tuple[str, str]]
Recipe = Callable[[Session, TenantUnderTest], Rows]


def create_tenant(session: Session, t: TenantUnderTest) -> Rows:
    made = tenants.create(session, slug=next(names), name="New", actor=ANA)
    t.id, t.sandbox_id = made.id, tenants.sandbox_id(session, made.id)  # where to look
    ladders = {(TENANT, "tiers.replace"): 1, (SANDBOX, "tiers.replace"): 1}
    return Counter({(TENANT, "tenant.create"): 1, (PLATFORM, "tenant.create"): 1, **ladders})


def limit_tenant(session: Session, t: TenantUnderTest) -> Rows:
    tenants.set_rate_limit(session, tenants.get(session, t.slug), rate_limit=7, actor=ANA)
    return Counter({(TENANT, "tenant.set_rate_limit"): 1, (PLATFORM, "tenant.set_rate_limit"): 1})


def rename_tenant(session: Session, t: TenantUnderTest) -> Rows:
    for _ in range(2):  # the second changes nothing, so says nothing
        tenants.set_profile(session, t.slug, name="Renamed", time_zone="Asia/Tokyo", actor=ANA)
    return Counter({(TENANT, "tenant.set_profile"): 1, (PLATFORM, "tenant.set_profile"): 1})


def suspend_tenant(session: Session, t: TenantUnderTest) -> Rows:
    tenants.set_status(session, t.slug, status="suspended", actor=ANA)
    return Counter({(TENANT, "tenant.set_status"): 1, (PLATFORM, "tenant.set_status"): 1})


def issue_key(session: Session, t: TenantUnderTest) -> Rows:
    api_keys.issue(session, tenants.get(session, t.slug), name="till", pepper=PEPPER, actor=ANA)
    return Counter({(TENANT, "api_key.issue"): 1})


def revoke_key(session: Session, t: TenantUnderTest) -> Rows:
    for _ in range(2):  # the second changes nothing, so says nothing
        api_keys.revoke(session, t.key, actor=ANA)
    return Counter({(TENANT, "api_key.revoke"): 1})


def roll_key(session: Session, t: TenantUnderTest) -> Rows:
    api_keys.roll(session, t.key, overlap=timedelta(hours=1), pepper=PEPPER, actor=ANA, now=datetime.now(UTC))
    return Counter({(TENANT, "api_key.roll"): 1})


def delete_tenant(session: Session, t: TenantUnderTest) -> Rows:
    for _ in range(2):  # taken up again, it is still one deletion
        deletion.begin(session, t.slug, actor=ANA)
    return Counter({(PLATFORM, "tenant.delete"): 1})


def replace_tiers(session: Session, t: TenantUnderTest) -> Rows:
    act_as(session, t.id)
    tiers.replace(session, t.id, {"only": 5}, actor=ANA)
    return Counter({(TENANT, "tiers.replace"): 1})


def put_ladder(session: Session, t: TenantUnderTest) -> Rows:
    act_as(session, t.id)
    tiers.put(session, t.id, {"only": 5}, {}, policy=tiers.MOVE_NOW, is_settled=True, actor=ANA)
    return Counter({(TENANT, "tiers.replace"): 1})


def draft(session: Session, t: TenantUnderTest, threshold: int = 7) -> drafts.Draft:
    act_as(session, t.id)
    content = drafts.Content((drafts.Rung("only", "Only", threshold),))
    return drafts.save(session, t.id, content, revision=drafts.of(session, t.id).revision, actor=ANA)


def save_draft(session: Session, t: TenantUnderTest) -> Rows:
    for threshold in (7, 8):  # while they type, it is one change
        draft(session, t, threshold)
    return Counter({(TENANT, "tiers.draft"): 1})


def discard_draft(session: Session, t: TenantUnderTest) -> Rows:
    draft(session, t)
    for _ in range(2):
        drafts.discard(session, t.id, actor=ANA)
    return Counter({(TENANT, "tiers.draft"): 1, (TENANT, "tiers.discard"): 1})


def restore_ladder(session: Session, t: TenantUnderTest) -> Rows:
    act_as(session, t.id)
    drafts.restore(session, t.id, 1, actor=ANA)
    return Counter({(TENANT, "tiers.restore"): 1})


def publish_draft(session: Session, t: TenantUnderTest) -> Rows:
    revision = draft(session, t).revision
    publishing.publish(session, t.id, revision=revision, policy=tiers.Policy(), reason="Spring", actor=ANA)
    return Counter({(TENANT, "tiers.draft"): 1, (TENANT, "tiers.publish"): 1})


def cancel_publication(session: Session, t: TenantUnderTest) -> Rows:
    revision = draft(session, t).revision
    asked = {"policy": tiers.Policy(), "reason": None, "at": NOW + timedelta(days=1)}
    publishing.publish(session, t.id, revision=revision, **asked, actor=ANA)
    publishing.cancel(session, t.id, actor=ANA)
    return Counter({(TENANT, "tiers.draft"): 1, (TENANT, "tiers.schedule"): 1, (TENANT, "tiers.cancel"): 1})


def pin(session: Session, t: TenantUnderTest) -> Rows:
    enlist(session, t)
    for _ in range(2):
        asked = {"code": "gold", "reason": "A friend", "until": None, "now": datetime.now(UTC)}
        holds.pin(session, t.id, "held", **asked, actor=ANA)
    return Counter({(TENANT, "tier.pin"): 1})


def edit_person(session: Session, t: TenantUnderTest) -> Rows:
    enlist(session, t)
    for _ in range(2):
        details.replace(session, t.id, "held", display_name="Ann", attributes={"a": 1}, actor=ANA)
    return Counter({(TENANT, "participant.edit"): 1})


def erase_person(session: Session, t: TenantUnderTest) -> Rows:
    enlist(session, t)
    erasures.erase(session, t.id, "held", actor=ANA)
    return Counter({(TENANT, "participant.erase"): 1})


def unpin(session: Session, t: TenantUnderTest) -> Rows:
    pin(session, t)
    for _ in range(2):
        holds.unpin(session, t.id, "held", actor=ANA)
    return Counter({(TENANT, "tier.pin"): 1, (TENANT, "tier.unpin"): 1})


def enlist(session: Session, t: TenantUnderTest) -> None:
    act_as(session, t.id)
    award = ledger.Movement(ledger.AWARD, "held", 5)
    ledger.post_on(session.connection().connection.driver_connection, t.id, [award])


def create_user(session: Session, t: TenantUnderTest) -> Rows:
    tenant = tenants.get(session, t.slug)
    users.create(session, tenant=tenant, email=f"{t.slug}@shop.example", role="admin", password=PASSWORD, actor=ANA)
    return Counter({(TENANT, "user.create"): 1})


def somebody(session: Session, t: TenantUnderTest, role: str = "analyst") -> User:
    """Somebody of the tenant, beside an admin who stays."""
    tenant = tenants.get(session, t.slug)
    admin, other = ({"email": f"{who}@{t.slug}.example", "password": PASSWORD} for who in ("admin", "other"))
    users.create(session, tenant=tenant, role="admin", actor=SYSTEM, **admin)
    return users.create(session, tenant=tenant, role=role, actor=SYSTEM, **other)


def change_password(session: Session, t: TenantUnderTest) -> Rows:
    users.change_password(session, somebody(session, t), OTHER_PASSWORD, actor=ANA, now=NOW)
    return Counter({(TENANT, "user.change_password"): 1})


def change_role(session: Session, t: TenantUnderTest) -> Rows:
    users.change_role(session, somebody(session, t), "admin", actor=ANA, now=NOW)
    return Counter({(TENANT, "user.change_role"): 1})


def remove_user(session: Session, t: TenantUnderTest) -> Rows:
    users.remove(session, somebody(session, t), actor=ANA, now=NOW)
    return Counter({(TENANT, "user.remove"): 1})


def invite(session: Session, t: TenantUnderTest) -> Rows:
    links.invite(session, tenants.get(session, t.slug), email="new@shop.example", role="admin", actor=ANA, now=NOW)
    return Counter({(TENANT, "invitation.create"): 1})


def withdraw(session: Session, t: TenantUnderTest) -> Rows:
    links.invite(session, tenants.get(session, t.slug), email="new@shop.example", role="admin", actor=SYSTEM, now=NOW)
    [made] = links.open_invitations(session, t.id, now=NOW)
    links.withdraw(session, t.id, made.digest.hex(), actor=ANA, now=NOW)
    return Counter({(TENANT, "invitation.withdraw"): 1})


def _enrol(session: Session, t: TenantUnderTest, user: User, actor: Actor) -> None:
    offer = second_factor.enrol(t.here.vault, user, now=NOW)
    code = pyotp.TOTP(offer.secret).at(NOW)
    second_factor.confirm(session, t.here.vault, user, ticket=offer.ticket, code=code, actor=actor, now=NOW)
    session.refresh(user)


def turn_second_factor_on(session: Session, t: TenantUnderTest) -> Rows:
    _enrol(session, t, somebody(session, t), ANA)
    return Counter({(TENANT, "user.second_factor_on"): 1})


def turn_second_factor_off(session: Session, t: TenantUnderTest) -> Rows:
    user = somebody(session, t)
    _enrol(session, t, user, SYSTEM)
    for _ in range(2):
        second_factor.disable(session, user, None, actor=ANA)
    return Counter({(TENANT, "user.second_factor_off"): 1})


def require_second_factor(session: Session, t: TenantUnderTest) -> Rows:
    for _ in range(2):
        second_factor.require(session, tenants.get(session, t.slug), is_required=True, actor=ANA)
    return Counter({(TENANT, "tenant.require_second_factor"): 1})


def revoke_session(session: Session, t: TenantUnderTest) -> Rows:
    user = somebody(session, t)
    row = sessions.begin(session, user, place=Place("198.51.100.1", "a browser"), is_complete=True, now=NOW)
    sessions.revoke(session, user, row.id, actor=ANA, now=NOW)
    return Counter({(TENANT, "session.revoke"): 1})


def revoke_other_sessions(session: Session, t: TenantUnderTest) -> Rows:
    user = somebody(session, t)
    kept, *_ = (sessions.begin(session, user, place=Place(), is_complete=True, now=NOW) for _ in range(3))
    sessions.revoke_others(session, user, keep=kept.id, actor=ANA, now=NOW)
    return Counter({(TENANT, "session.revoke"): 1})


def adjust_points(session: Session, t: TenantUnderTest) -> Rows:
    asked = adjustments.read(kind="award", participant_id="ana", amount="5", reason="Sorry", key=adjustments.new_key())
    act_as(session, t.id)
    for _ in range(2):  # sent again, it moves nothing
        adjustments.adjust(session, t.id, asked, actor=ANA)
    return Counter({(TENANT, "points.adjust"): 1})


def reverse_points(session: Session, t: TenantUnderTest) -> Rows:
    asked = adjustments.read(kind="award", participant_id="ana", amount="5", reason="Sorry", key=adjustments.new_key())
    act_as(session, t.id)
    done = adjustments.adjust(session, t.id, asked, actor=SYSTEM)
    key = adjustments.new_key()
    for _ in range(2):
        adjustments.reverse(session, t.id, done.transaction_id, reason="Not due", key=key, allow_partial=False, actor=ANA)
    return Counter({(TENANT, "points.reverse"): 1})


def wish(session: Session, t: TenantUnderTest, actor: Actor = ANA) -> Export:
    act_as(session, t.id)
    made = export_contents.ledger(session.get_one(Tenant, t.id), Filter(), query="", about="Every entry", now=NOW)
    return exports.ask(session, t.id, made, format="csv", actor=actor, now=NOW)


def ask_for_export(session: Session, t: TenantUnderTest) -> Rows:
    wish(session, t)
    return Counter({(TENANT, "export.ask"): 1})


def download_export(session: Session, t: TenantUnderTest) -> Rows:
    made = wish(session, t, SYSTEM)
    made.state = "done"
    session.flush()
    for _ in range(2):  # each time it is taken away counts
        exports.download(session, t.id, made.id, actor=ANA, now=NOW)
    return Counter({(TENANT, "export.download"): 2})


def cancel_export(session: Session, t: TenantUnderTest) -> Rows:
    exports.cancel(session, t.id, wish(session, t, SYSTEM).id, actor=ANA, now=NOW)
    return Counter({(TENANT, "export.cancel"): 1})


def delete_export(session: Session, t: TenantUnderTest) -> Rows:
    exports.delete(session, t.id, wish(session, t, SYSTEM).id, actor=ANA)
    return Counter({(TENANT, "export.delete"): 1})


def plan_for(session: Session, t: TenantUnderTest) -> schedules.Plan:
    act_as(session, t.id)
    report = SavedReport(tenant_id=t.id, name="Weekly", kind="roll-forward", query="", saved_by="ana")
    session.add(report)
    session.flush()
    return schedules.Plan(report.id, "csv", "daily", 7, [somebody(session, t).id])


def schedule(session: Session, t: TenantUnderTest, actor: Actor = ANA) -> tuple[Tenant, schedules.Plan, int]:
    plan, tenant = plan_for(session, t), session.get_one(Tenant, t.id)
    return tenant, plan, schedules.create(session, tenant, plan, page="", actor=actor, now=NOW).id


def create_schedule(session: Session, t: TenantUnderTest) -> Rows:
    schedule(session, t)
    return Counter({(TENANT, "schedule.create"): 1})


def change_schedule(session: Session, t: TenantUnderTest) -> Rows:
    tenant, plan, number = schedule(session, t, SYSTEM)
    for _ in range(2):  # the second changes nothing, so says nothing
        schedules.change(session, tenant, number, plan._replace(hour=8), page="", actor=ANA, now=NOW)
    return Counter({(TENANT, "schedule.change"): 1})


def remove_schedule(session: Session, t: TenantUnderTest) -> Rows:
    tenant, _, number = schedule(session, t, SYSTEM)
    schedules.remove(session, tenant.id, number, actor=ANA)
    return Counter({(TENANT, "schedule.remove"): 1})


def resume_schedule(session: Session, t: TenantUnderTest) -> Rows:
    tenant, _, number = schedule(session, t, SYSTEM)
    for _ in range(schedules.MOST_FAILURES):
        schedules.note_failure(session, tenant.id, number, "No room.", now=NOW)
    schedules.resume(session, tenant, number, actor=ANA, now=NOW)
    return Counter({(TENANT, "schedule.resume"): 1})


RECIPES: dict[str, Recipe] = {
    "exports.ask": ask_for_export,
    "exports.download": download_export,
    "exports.cancel": cancel_export,
    "exports.delete": delete_export,
    "schedules.create": create_schedule,
    "schedules.change": change_schedule,
    "schedules.remove": remove_schedule,
    "schedules.resume": resume_schedule,
    "tenants.create": create_tenant,
    "tenants.set_rate_limit": limit_tenant,
    "tenants.set_profile": rename_tenant,
    "tenants.set_status": suspend_tenant,
    "api_keys.issue": issue_key,
    "api_keys.revoke": revoke_key,
    "api_keys.roll": roll_key,
    "deletion.begin": delete_tenant,
    "tiers.replace": replace_tiers,
    "tiers.put": put_ladder,
    "drafts.save": save_draft,
    "drafts.discard": discard_draft,
    "drafts.restore": restore_ladder,
    "publishing.publish": publish_draft,
    "publishing.cancel": cancel_publication,
    "details.replace": edit_person,
    "erasures.erase": erase_person,
    "holds.pin": pin,
    "holds.unpin": unpin,
    "users.create": create_user,
    "users.change_password": change_password,
    "users.change_role": change_role,
    "users.remove": remove_user,
    "links.invite": invite,
    "links.withdraw": withdraw,
    "second_factor.confirm": turn_second_factor_on,
    "second_factor.disable": turn_second_factor_off,
    "second_factor.require": require_second_factor,
    "adjustments.adjust": adjust_points,
    "adjustments.reverse": reverse_points,
    "sessions.revoke": revoke_session,
    "sessions.revoke_others": revoke_other_sessions,
}
