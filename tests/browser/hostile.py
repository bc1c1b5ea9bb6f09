"""A tenant in which every text that a client, a person or an operator can choose tries to be more than text."""

import itertools
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode

from gamify.deployment import Deployment
from gamify.models import SavedReport, Tenant, User
from gamify.models.export import STATES
from gamify.services import api_keys, export_contents, exports, links, schedules, tenants, tiers
from gamify.services.audit import SYSTEM, Actor
from gamify.services.entries import Filter
from gamify.services.person_log import Place
from gamify.services.reports import costs, dimensions, saved
from gamify.services.tiers import Look
from sqlalchemy import text
from werkzeug.routing import MapAdapter, Rule

from tests import secrets_issued
from tests.harness import BASE, Api, TenantUnderTest, item, new_tenant
from tests.people import new_user, now

TEXTS = (
    "<script>document.title = 'harmed'</script>",
    '"><img src=nowhere onerror="document.title = \'harmed\'">',
    "=1+1",
    "javascript:document.title='harmed'",
    "' onmouseover='document.title=1' x='",
    "{{ 7 * 7 }} ${7 * 7} <b>bold</b> &lt;i&gt;",
    "</script></style></textarea></title><svg onload=alert(1)>",
    "@SUM(1+1)",
    "+cmd|' /C calc'!A0",
    "-2+3",
)
# What texts would have made of a page if it had taken them for markup. Data for charts is in script elements that run nothing.
HARM = """
    document.querySelectorAll(
        "main img[src=nowhere], main b, main svg[onload], [onerror], [onmouseover], [onload], a[href^='javascript:' i],"
        + " script:not([src]):not([type='application/json'])"
    ).length + (document.title.trim() === "harmed" ? 1 : 0) + (document.body.innerText.includes("{{ 49 }}") ? 1 : 0)
"""


@dataclass
class Hostile:
    """The tenant, its people, and what values its pages' addresses take."""

    tenant: TenantUnderTest
    people: dict[str, User]
    values: dict[str, object]  # by argument, or by the endpoint and the argument
    queries: dict[str, dict[str, object]]  # by endpoint, of pages that are nothing without

    def address(self, adapter: MapAdapter, rule: Rule, role: str) -> str:
        """Where somebody in this role finds the page of a rule."""
        others = {"user_id": self.people[role].id if role in self.people else None}
        known = {name: self.values.get(f"{rule.endpoint} {name}", (self.values | others).get(name)) for name in rule.arguments}
        assert None not in known.values(), f"{rule.endpoint} needs values to be looked at: {known}"
        return adapter.build(rule.endpoint, known | self.queries.get(rule.endpoint, {}))


def make(here: Deployment, api: Api) -> Hostile:
    """Fill a tenant through the API, as its clients would; `api` is a client without a key."""
    tenant = new_tenant(here)
    people = {role: new_user(here, tenant.slug, role=role) for role in ("admin", "analyst")}
    people["operator"] = new_user(here)
    entry_id = reversible = ""
    for client in (api.with_key(tenant.test_key), api.with_key(tenant.key)):
        for hostile in TEXTS:
            entry_id = client.award(hostile, 700, **_details(hostile)).json["transaction_id"]
            assert client.deduct(hostile, 30, **_details(hostile)).status == 200
            person = {"participant_id": hostile, "display_name": hostile, "attributes": {hostile: hostile}}
            assert client.request("POST", f"{BASE}/participants", body=person).status == 200
        taken_back = client.award(TEXTS[0], 5, **_details(TEXTS[1])).json["transaction_id"]
        reversal = {"reason": TEXTS[0], "metadata": {TEXTS[0]: TEXTS[1]}}
        assert client.request("POST", f"{BASE}/points/transactions/{taken_back}/reverse", body=reversal).status == 200
        reversible = client.award(TEXTS[1], 5, **_details(TEXTS[2])).json["transaction_id"]
        assert client.batch([item(f"person {n}", n + 1) for n in range(60)]).json["failed"] == 0
    invitation, prefix = _people_and_keys(here, tenant)
    with here.database.transaction(tenant.id) as session:
        looks = {f"tier-{n}": Look(hostile) for n, hostile in enumerate(TEXTS)}
        tiers.replace(session, tenant.id, {code: 50 * n for n, code in enumerate(looks)}, looks=looks, actor=SYSTEM)
    _reports(here, tenant)
    reset = _reset(here, people["analyst"])
    with here.database.transaction() as session:  # nobody can choose such a name on the command line alone
        session.execute(text("UPDATE tenants SET name = :name WHERE slug = :slug"), {"name": TEXTS[1], "slug": tenant.slug})
    export_id, schedule_id = _files(here, tenant, people["analyst"])
    values = {
        "export_id": export_id,
        "schedule_id": schedule_id,
        "links.invitation token": invitation,
        "links.reset token": reset,
        "slug": tenant.slug,
        "prefix": prefix,
        "participant_id": TEXTS[1],
        "pid": TEXTS[1],
        "entry_id": entry_id,
        "version": 1,
    }
    adjusting = {"participant": TEXTS[1], "kind": "award", "amount": 5}
    queries = {"adjustments.preview": adjusting, "adjustments.ask": {"entry": reversible}}
    queries |= {endpoint: {"participant": TEXTS[1]} for endpoint in ("details.edit", "details.ask")}
    queries["reports.index"] = {"by": f"metadata.{TEXTS[0]}", "compare": "previous"}
    return Hostile(tenant, people, values, queries)


def _details(hostile: str) -> dict[str, object]:
    return {"reason": hostile, "metadata": {hostile: hostile, "nested": {"list": [hostile]}}}


def _reports(here: Deployment, tenant: TenantUnderTest) -> None:
    """Break reports down by a hostile member of the metadata, and keep them under hostile names."""
    with here.database.transaction(tenant.id) as session:
        dimensions.declare(session, tenant.id, TEXTS[0], actor=SYSTEM)
        costs.put(session, tenant.id, valid_from=date(2026, 1, 1), cost="0.01", currency="EUR", actor=SYSTEM)
        for hostile in TEXTS:
            saved.save(session, tenant.id, name=hostile, kind="tiers", query="unit=week", actor=SYSTEM)
    assert dimensions.make_ready(here.database, tenant.id)


def _people_and_keys(here: Deployment, tenant: TenantUnderTest) -> tuple[str, str]:
    """Give keys hostile names and people hostile e-mails; return an invitation's token and a key's prefix."""
    with here.database.transaction() as session:
        live = tenants.get(session, tenant.slug)
        for hostile in TEXTS:
            key, secret = api_keys.issue(session, live, name=hostile, pepper=here.settings.api_key_pepper, actor=SYSTEM)
            secrets_issued.note(secret)
        token = links.invite(
            session, live, email=f'"><img/src=nowhere>{tenant.id}@x.example', role="analyst", actor=SYSTEM, now=now()
        )
    secrets_issued.note(token)
    return token, key.prefix


def _files(here: Deployment, tenant: TenantUnderTest, user: User) -> tuple[int, int]:
    """Exports in every state, and saved reports that are sent, with hostile names."""
    by = Actor("user", user.email, user.id)
    with here.database.transaction(tenant.id) as session:
        live = session.get_one(Tenant, tenant.id)
        for hostile, state in zip(itertools.cycle(TEXTS), STATES, strict=False):
            asked = {"query": urlencode({"participant": hostile}), "about": hostile, "now": now()}
            wish = export_contents.ledger(live, Filter(participant_id=hostile), **asked)
            made = exports.ask(session, tenant.id, wish, format="xlsx", actor=by, now=now())
            made.state, made.error = state, hostile if state == "failed" else None
        for hostile in TEXTS:
            report = SavedReport(tenant_id=tenant.id, name=f"{hostile} sent", kind="roll-forward", query="", saved_by="x")
            session.add(report)
            session.flush()
            plan = schedules.Plan(report.id, "csv", "weekly", 7, [user.id], weekday=0)
            schedule = schedules.create(session, live, plan, page="", actor=by, now=now())
            schedules.note_failure(session, tenant.id, schedule.id, hostile, now=now())
    return made.id, schedule.id


def _reset(here: Deployment, user: User) -> str:
    """Return the token with which somebody may set a new password."""
    with here.database.transaction() as session:
        made = links.request_reset(session, user.email, place=Place(None, TEXTS[0], "x"), now=now())
    assert made
    secrets_issued.note(made.token)
    return made.token
