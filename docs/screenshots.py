"""`make screenshots`: the main pages of the demo tenant, light and dark, as docs/images/*.png."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
SIZE = {"width": 1120, "height": 660}
MOST_BYTES = 150 * 1024
FLAGS = ("--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking")
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def main() -> None:
    """Start the demo, sign in and take every picture; end with 1 if a page is missing or a picture is too large."""
    IMAGES.mkdir(exist_ok=True)
    with _demo() as (url, password), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=list(FLAGS))
        for theme in ("light", "dark"):
            page = browser.new_page(base_url=url, viewport=SIZE, color_scheme=theme, reduced_motion="reduce")
            _sign_in(page, password)
            for name, show in SHOTS.items():
                show(page)
                _take(page, IMAGES / f"{name}-{theme}.png")
            _discard(page)
        browser.close()


def _go(path: str) -> Callable[[Page], None]:
    def show(page: Page) -> None:
        answer = page.goto(path, wait_until="networkidle")
        if answer is None or not answer.ok:
            raise SystemExit(f"{path} is not there.")

    return show


def _open_entry(page: Page) -> None:
    _go("/dashboard/ledger")(page)
    page.locator("[hx-target='#drawer-content']").nth(3).click()
    page.locator("#drawer[open] h2").first.wait_for()


def _edit_tiers(page: Page) -> None:
    """A draft that moves people up and down; gone again after its picture."""
    _go("/dashboard/tiers/edit?falling=move_down")(page)
    for name, points in (("Silver", "400"), ("Gold", "1,900"), ("Platinum", "3,500")):
        page.get_by_role("textbox", name=f"Threshold of {name} Tier").fill(points)
    page.locator("#saved", has_text="Saved").wait_for()
    page.wait_for_load_state("networkidle")


def _discard(page: Page) -> None:
    _go("/dashboard/tiers/discard")(page)
    page.get_by_role("button", name="Discard the draft").click()
    page.wait_for_url("**/dashboard/tiers")


SHOTS = {
    "overview": _go("/dashboard/"),
    "participants": _go("/dashboard/participants?sort=-balance"),
    "participant": _go("/dashboard/participants/user_123"),
    "ledger": _open_entry,
    "tiers": _go("/dashboard/tiers"),
    "tier-editor": _edit_tiers,
    "reports": _go("/dashboard/reports?period=last_90_days&compare=previous"),
    "developers": _go("/dashboard/developers"),
}


def _take(page: Page, path: Path) -> None:
    page.mouse.move(0, 0)
    page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    sys.stdout.write(f"{path.name:24} {size // 1000:4} kB\n")
    if size > MOST_BYTES:
        raise SystemExit(f"{path.name} has more than {MOST_BYTES:,} bytes.")


def _sign_in(page: Page, password: str) -> None:
    page.goto("/dashboard/sign-in")
    page.get_by_label("E-mail").fill("admin@demo.example")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/dashboard/")


@contextmanager
def _demo() -> Iterator[tuple[str, str]]:
    """A server with the demo tenant, in a folder that goes with it: its URL, and the admin's password."""
    folder = Path(tempfile.mkdtemp(prefix="gamify-screenshots-"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GAMIFY_", "DATABASE_", "REDIS_"))}
    command = [sys.executable, "-m", "gamify.cli", "serve", "--demo", "--workers", "1"]
    server = subprocess.Popen(command, env=kept | {"GAMIFY_DATA_DIR": str(folder)}, stdout=subprocess.PIPE, text=True)
    try:
        said = ""
        for line in server.stdout or ():
            said += line
            if line.startswith("Ctrl-C"):
                break
        url, password = re.search(r"ready at (\S+)", said), re.search(r"admin@\S+ +(\S+)", said)
        if not url or not password:
            raise SystemExit("The server did not start.")
        yield url[1], password[1]
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _chromium() -> str:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise SystemExit("Install chromium first.")
    return found


if __name__ == "__main__":
    main()
