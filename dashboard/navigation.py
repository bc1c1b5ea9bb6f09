"""The pages there are, in the order in which they are listed; each is shown to those who may see it."""

from typing import NamedTuple


class Link(NamedTuple):
    """A page, as the first page and the head of all pages list it."""

    label: str
    endpoint: str
    permission: str


LINKS = (
    Link("Tenants", "tenants.index", "tenants:read"),
    Link("API keys", "keys.index", "keys:read"),
    Link("People", "people.index", "people:read"),
    Link("Settings", "settings.index", "settings:write"),
    Link("Audit log", "audit.index", "audit:read"),
    Link("Platform log", "audit.platform", "platform_audit:read"),
    Link("Your account", "account.index", "account"),
)
