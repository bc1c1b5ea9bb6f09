"""Points moved by hand: for a reason, once a form, with a line in the audit log in the same transaction."""

import threading
from typing import Any
from uuid import UUID

import pytest
from gamify.deployment import Deployment
from gamify.errors import Conflict, InsufficientPoints, Invalid, NotFound
from gamify.services import adjustments, audit, entries, profiles
from gamify.services.audit import Actor, Filter
from gamify.services.ledger import Receipt

ANA = Actor("user", "ana@shop.example", 7, "203.0.113.9", "req-1")
FORM: dict[str, str] = {"kind": "award", "participant_id": "ben", "amount": "100", "reason": "Sorry"}


def adjust(here: Deployment, tenant_id: int, **texts: str) -> Receipt:
    asked = adjustments.read(**{**FORM, "key": adjustments.new_key()} | texts)
    with here.database.transaction(tenant_id) as session:
        return adjustments.adjust(session, tenant_id, asked, actor=ANA)


def reverse(here: Deployment, tenant_id: int, entry_id: UUID, **values: Any) -> Any:
    asked = {"reason": "Not due", "key": adjustments.new_key(), "allow_partial": False} | values
    with here.database.transaction(tenant_id) as session:
        return adjustments.reverse(session, tenant_id, entry_id, actor=ANA, **asked)


def log(here: Deployment, tenant_id: int) -> list[audit.Entry]:
    with here.database.transaction(tenant_id) as session:
        return list(audit.search(session, tenant_id, Filter(actor=ANA.name), limit=100))


def test_an_award_by_hand_moves_points_and_says_who_and_why(here, tenant, api):
    done = adjust(here, tenant.id, amount="1,500", reason=" Sorry ")

    [entry] = api.history("ben").json["transactions"]
    assert (entry["amount"], entry["reason"], done.new_balance) == (1500, "Sorry", 1500)
    with here.database.transaction(tenant.id) as session:
        found = entries.LedgerEntry
        row = session.query(found.user_id, found.api_key_id, found.request_id).where(found.tenant_id == tenant.id).one()
    assert row == (7, None, "req-1")
    [line] = log(here, tenant.id)
    assert (line.action, line.subject) == ("points.adjust", str(done.transaction_id))
    assert line.after == {"points": 1500, "balance": 1500}


def test_the_log_holds_nothing_that_may_have_to_be_erased(here, tenant):
    done = adjust(here, tenant.id, participant_id="ben@mail.example", reason="She moved house")
    reverse(here, tenant.id, done.transaction_id, reason="She did not")

    said = str([(line.subject, line.before, line.after) for line in log(here, tenant.id)])
    assert "ben@mail" not in said
    assert "She" not in said


def test_a_form_sent_twice_moves_points_once(here, tenant, api):
    key = adjustments.new_key()
    first, again = (adjust(here, tenant.id, key=key) for _ in range(2))

    assert first == again
    assert api.balance("ben") == 100
    assert len(log(here, tenant.id)) == 1


def test_a_form_sent_many_times_at_once_moves_points_once(here, tenant, api):
    key, outcomes = adjustments.new_key(), []
    threads = [threading.Thread(target=lambda: outcomes.append(adjust(here, tenant.id, key=key))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(outcomes) == 8
    assert len({done.transaction_id for done in outcomes}) == 1
    assert api.balance("ben") == 100
    assert len(log(here, tenant.id)) == 1


def test_a_form_sent_again_with_other_values_moves_nothing_and_says_so(here, tenant, api):
    key = adjustments.new_key()
    adjust(here, tenant.id, key=key)

    with pytest.raises(Invalid, match="sent before"):
        adjust(here, tenant.id, key=key, amount="200")
    assert api.balance("ben") == 100


def test_what_is_refused_can_be_corrected_and_sent_again(here, tenant, api):
    api.award("ben", 30)
    key = adjustments.new_key()

    with pytest.raises(InsufficientPoints, match="Available: 30, requested: 50"):
        adjust(here, tenant.id, key=key, kind="deduct", amount="50")
    assert adjust(here, tenant.id, key=key, kind="deduct", amount="30").new_balance == 0
    assert len(log(here, tenant.id)) == 1


def test_points_do_not_move_without_the_line_in_the_log(here, tenant, api):
    def fail_after_it() -> None:
        with here.database.transaction(tenant.id) as session:
            asked = adjustments.read(**FORM, key=adjustments.new_key())
            adjustments.adjust(session, tenant.id, asked, actor=ANA)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_it()

    assert api.points("ben").status == 404
    assert log(here, tenant.id) == []


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("kind", "steal"),
        *(("participant_id", text) for text in ("", " ", ".", "..", "a\0", "x" * 256)),
        *(("amount", text) for text in ("", "0", "-5", "1.5", "1e3", "1000001", "ten", "٣", "9" * 400)),
        *(("reason", text) for text in ("", " \t", "x" * 501, "a\0b")),
        *(("key", text) for text in ("", "a b", "ü", "k" * 256)),
    ],
)
def test_what_cannot_be_is_refused_by_name(field, text):
    with pytest.raises(Invalid) as refused:
        adjustments.read(**{**FORM, "key": "k", field: text})

    assert [error.field for error in refused.value.errors] == [field]


@pytest.mark.parametrize("amount", ["1", "1,000,000", "1 000", "1\N{NARROW NO-BREAK SPACE}000", "000001"])
def test_amounts_are_read_as_people_write_them(amount):
    assert 1 <= adjustments.read(**{**FORM, "key": "k", "amount": amount}).amount <= 1_000_000


def test_a_reversal_by_hand_takes_an_entry_back_once(here, tenant, api):
    award = api.award("ben", 600).json["transaction_id"]
    key = adjustments.new_key()
    first, again = (reverse(here, tenant.id, UUID(award), key=key) for _ in range(2))

    assert (first.transaction_id, first.new_balance) == (again.transaction_id, 0)
    with pytest.raises(Conflict, match="reversed before"):
        reverse(here, tenant.id, UUID(award))
    with pytest.raises(Conflict, match="reversal itself"):
        reverse(here, tenant.id, first.transaction_id)
    [line] = log(here, tenant.id)
    assert (line.action, line.after) == ("points.reverse", {"reverses": award, "points": 600, "balance": 0})


def test_what_is_partly_spent_is_taken_back_only_as_far_as_asked(here, tenant, api):
    award = UUID(api.award("ben", 100).json["transaction_id"])
    api.deduct("ben", 40)
    key = adjustments.new_key()

    with pytest.raises(InsufficientPoints):
        reverse(here, tenant.id, award, key=key)
    done = reverse(here, tenant.id, award, key=key, allow_partial=True)

    assert (done.amount, done.requested, done.new_balance) == (60, 100, 0)


def test_nobody_reverses_an_entry_of_another_tenant_or_of_the_sandbox(here, tenant, api):
    mine = UUID(api.award("ben", 100).json["transaction_id"])
    with pytest.raises(NotFound):
        reverse(here, tenant.sandbox_id, mine)

    assert api.balance("ben") == 100


@pytest.mark.parametrize("reason", ["", "x" * 501, "a\0b"])
def test_a_reversal_needs_a_reason_too(here, tenant, reason):
    with pytest.raises(Invalid, match="reason"):
        reverse(here, tenant.id, UUID(int=0), reason=reason)


@pytest.mark.parametrize(("kind", "amount"), [("award", 600), ("award", 1), ("deduct", 30), ("deduct", 31)])
def test_the_preview_is_what_comes_of_it(here, tenant, api, kind, amount):
    api.award("ben", 450)
    api.deduct("ben", 420)
    told = adjustments.preview(balance=30, total_earned=450, kind=kind, amount=amount)

    if told.available is not None:
        with pytest.raises(InsufficientPoints, match=f"Available: {told.available}, requested: {amount}"):
            adjust(here, tenant.id, kind=kind, amount=str(amount))
        return
    adjust(here, tenant.id, kind=kind, amount=str(amount))
    with here.database.transaction(tenant.id) as session:
        then = profiles.find(session, tenant.id, "ben")
    assert (then.balance, then.total_earned) == (told.balance, told.total_earned)
