"""An analyst's way in a browser: from the filtered ledger to a file on the disk, with scripts and without."""

import re
from pathlib import Path

import pytest
from gamify.deployment import Deployment
from gamify.jobs.registry import JOBS
from gamify.jobs.turn import perform
from gamify.models import Export
from playwright.sync_api import Page, expect
from sqlalchemy import select

from tests.browser.windows import Windows, violations
from tests.exporting import READERS
from tests.harness import Api, TenantUnderTest
from tests.people import new_user


@pytest.fixture
def filled(api: Api) -> None:
    api.batch([{"participant_id": f"p{n % 4}", "amount": n + 1, "reason": "=Purchase"} for n in range(40)])
    api.deduct("p1", 5, reason="Reward")


def work(here: Deployment, tenant: TenantUnderTest) -> None:
    """What a worker does."""
    with here.database.transaction(tenant.id) as session:
        newest = session.scalars(select(Export.id).where(Export.tenant_id == tenant.id).order_by(Export.id.desc())).first()
    perform(JOBS["write_export"], here, {"tenant_id": tenant.id, "export_id": newest}, is_stopping=lambda: False)


def download(page: Page, folder: Path) -> Path:
    with page.expect_download() as started:
        page.get_by_role("link", name="Download").first.click()
    started.value.save_as(folder / started.value.suggested_filename)
    return folder / started.value.suggested_filename


@pytest.mark.parametrize(("label", "ending"), [("Excel", "xlsx"), ("JSON Lines", "jsonl")])
def test_what_is_filtered_is_exported_and_the_page_tells_by_itself_when_it_is_there(
    windows: Windows, here: Deployment, tenant: TenantUnderTest, filled: None, tmp_path: Path, label: str, ending: str
):
    page = windows.enter(new_user(here, tenant.slug, role="analyst"))
    page.goto("/dashboard/ledger?participant=p1")
    page.get_by_role("link", name="Export…").click()
    drawer = page.locator("#drawer")
    expect(drawer.get_by_text("Participant p1")).to_be_visible()
    assert violations(page) == []
    drawer.get_by_label(label).check()
    drawer.get_by_role("button", name="Export").click()

    expect(page.get_by_text("Waiting")).to_be_visible()
    work(here, tenant)
    expect(page.get_by_text("11 rows")).to_be_visible()
    file = download(page, tmp_path)
    assert file.name == re.sub(r"\.\w+$", f".{ending}", file.name)
    rows = READERS[ending](file)
    page.goto("/dashboard/ledger?participant=p1")
    shown = [
        address.rpartition("/")[2] for address in page.locator(".row-link").evaluate_all("all => all.map((a) => a.pathname)")
    ]
    assert [row["transaction_id"] for row in rows] == shown


@pytest.mark.long
def test_it_all_works_without_scripts(windows: Windows, here: Deployment, tenant: TenantUnderTest, filled: None, tmp_path: Path):
    page = windows.enter(new_user(here, tenant.slug, role="analyst"), java_script=False, width=360)
    page.goto("/dashboard/ledger")
    page.get_by_role("link", name="Export…").click()
    page.get_by_label("CSV").check()
    page.get_by_role("button", name="Export").click()
    expect(page.get_by_text("Waiting")).to_be_visible()
    work(here, tenant)
    page.reload()

    assert len(READERS["csv"](download(page, tmp_path))) == 41
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("The export is deleted.")).to_be_visible()
    expect(page.get_by_role("heading", name="No exports yet")).to_be_visible()
