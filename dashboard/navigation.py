"""The pages there are, in the order in which they are listed; each is shown to those who may see it."""

from typing import NamedTuple

from flask import Flask, request

from dashboard.guard import may


class Link(NamedTuple):
    """A page as the side of all pages lists it; `g` and its letter lead there."""

    label: str
    endpoint: str
    permission: str
    icon: str
    letter: str


LINKS = (
    Link("Overview", "home.index", "account", "layout-dashboard", "o"),
    Link("Participants", "participant.index", "participants:read", "users", "p"),
    Link("Ledger", "ledger.index", "ledger:read", "receipt-text", "l"),
    Link("Exports", "exports.index", "reports:export", "download", "x"),
    Link("Tiers", "tiers.index", "tiers:read", "layers", "i"),
    Link("Reports", "reports.index", "reports:read", "chart-column", "r"),
    Link("Developers", "developers.index", "developers:read", "code-2", "d"),
    Link("API keys", "keys.index", "keys:read", "key-round", "k"),
    Link("Tenants", "tenants.index", "tenants:read", "building-2", "t"),
    Link("People", "people.index", "people:read", "user-plus", "e"),
    Link("Audit log", "audit.index", "audit:read", "scroll-text", "a"),
    Link("Platform log", "audit.platform", "platform_audit:read", "scroll-text", "a"),
    Link("Settings", "settings.index", "settings:write", "settings", "s"),
)
ACCOUNT = Link("Your account", "account.index", "account", "user", "y")


def init_app(app: Flask) -> None:
    """Let templates list the pages."""
    app.jinja_env.globals |= {"links": links, "is_current": is_current}


def links() -> list[Link]:
    """The pages that whoever is here may see."""
    is_operator = not may("ledger:read")  # whom the overview leads on to the tenants
    return [link for link in LINKS if may(link.permission) and not (is_operator and link.endpoint == "home.index")]


def is_current(endpoint: str) -> bool:
    """Whether this page is the one, or lies below it."""
    name, _, view = endpoint.partition(".")
    here, _, current = (request.endpoint or "").partition(".")
    return name == here and (view == current or sum(link.endpoint.startswith(f"{name}.") for link in LINKS) <= 1)
