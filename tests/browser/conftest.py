"""A real browser: one a worker, on the worker's server; each test has windows of its own."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.windows import FLAGS, Windows
from tests.harness import Server

MUST = ("CI", "GAMIFY_REQUIRE_BROWSER")  # either set: a missing browser is a failure
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Chromium, where it is installed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        assert not any(os.environ.get(name) for name in MUST), "Chromium is missing: apt-get install chromium"
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def windows(chromium: Browser, server: Server) -> Iterator[Windows]:
    """Windows of this test's own; nothing may go wrong in them that the test does not expect."""
    opened = Windows(chromium, server.url)
    yield opened
    opened.close()
    assert opened.wrong == []
