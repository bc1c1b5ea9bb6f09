"""Saved reports keep the names that they are given."""

import pytest
from gamify.errors import Conflict
from gamify.services.audit import SYSTEM
from gamify.services.reports import saved


@pytest.fixture
def two(here, tenant) -> list[int]:
    with here.database.transaction(tenant.id) as session:
        return [saved.save(session, tenant.id, name=name, kind="tiers", query="", actor=SYSTEM).id for name in ("Mine", "Ours")]


def test_a_name_that_another_report_has_is_refused_and_nothing_changes(here, tenant, two):
    with here.database.transaction(tenant.id) as session:
        with pytest.raises(Conflict, match="There is a report named Ours already"):
            saved.rename(session, tenant.id, two[0], name="Ours", actor=SYSTEM)
        assert saved.rename(session, tenant.id, two[1], name="Theirs", actor=SYSTEM).name == "Theirs"  # it goes on

    with here.database.transaction(tenant.id) as session:
        assert [report.name for report in saved.listed(session, tenant.id)] == ["Mine", "Theirs"]


def test_a_report_may_be_given_the_name_it_has(here, tenant, two):
    with here.database.transaction(tenant.id) as session:
        assert saved.rename(session, tenant.id, two[0], name="Mine", actor=SYSTEM).name == "Mine"
