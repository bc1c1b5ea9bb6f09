"""Windows of a real browser that note whatever goes wrong in them, and the people who sit at them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyotp
from axe_playwright_python.base import AXE_SCRIPT
from gamify.models import User
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests import secrets_issued
from tests.people import PASSWORD

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTHS = (1280, 768, 360)
PATIENCE = 10_000  # ms

# Runs before anything of a page does; what a policy has stopped is told by no other means in full.
WATCH = """
    addEventListener("securitypolicyviolation", (event) =>
        console.error("policy: " + event.violatedDirective + " stopped " + (event.blockedURI || "something inline")));
    addEventListener("htmx:error", (event) => console.error("htmx: " + event.detail?.error));
"""
# Charts follow their window a moment later.
MEASURE = """
    (async () => {
        const frame = () => new Promise(requestAnimationFrame);
        for (let n = 0; n < 60 && document.documentElement.scrollWidth > innerWidth; n++) await frame();
        return [document.documentElement.scrollWidth, innerWidth];
    })()
"""
AXE = "(async () => (await axe.run(document, {resultTypes: ['violations']})).violations)()"
# Answers that a person gets on purpose are written to the console, too.
EXPECTED = "Failed to load resource: the server responded with a status of 4"


@dataclass
class Windows:
    """Opens windows on one server, and knows all that went wrong in any of them."""

    browser: Browser
    url: str
    wrong: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def open(self, *, state: Any = None, java_script: bool = True, width: int = 1280, **options: Any) -> Page:
        """Open a window of a browser of its own, signed in if `state` says so."""
        context = self.browser.new_context(
            base_url=self.url,
            storage_state=state,
            java_script_enabled=java_script,
            viewport={"width": width, "height": 800},
            reduced_motion="reduce",
            service_workers="block",
            **options,
        )
        context.set_default_timeout(PATIENCE)
        context.add_init_script(WATCH)
        context.on("page", self._watch)
        self.contexts.append(context)
        return context.new_page()

    def enter(self, user: User, *, app: pyotp.TOTP | None = None, **options: Any) -> Page:
        """Open a window and sign somebody in, as a person would."""
        page = self.open(**options)
        page.goto("/dashboard/")
        sign_in(page, user.email, app=app)
        secrets_issued.note(*(cookie["value"] for cookie in page.context.cookies()))
        return page

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        self.contexts.clear()

    def _watch(self, page: Page) -> None:
        def note(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not message.text.startswith(EXPECTED):
                self.wrong.append(f"{page.url}: {message.text}")

        page.on("console", note)
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url}: {error}"))


def sign_in(page: Page, email: str, password: str = PASSWORD, *, app: pyotp.TOTP | None = None) -> None:
    """Fill in the form that is shown, and a code if one is asked for."""
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    if app is not None:
        page.get_by_label("Code").fill(app.now())
        page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda address: "/sign-in" not in address and "/second-factor" not in address)


def violations(page: Page) -> list[str]:
    """What axe finds: each rule with the first element that breaks it."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(AXE_SCRIPT)
    return [f"{found['id']}: {found['nodes'][0]['html'][:160]} ({len(found['nodes'])} in all)" for found in page.evaluate(AXE)]


def overflow(page: Page) -> list[str]:
    """How much wider than its window a page is, if it is."""
    width, inner = page.evaluate(MEASURE)
    return [f"{width} wide in a window of {inner}"] if width > inner else []


Opener = Callable[..., Page]
