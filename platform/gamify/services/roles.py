"""Who may do what: the one table."""

PERMISSIONS = (
    "account",  # their own password, second factor and sessions
    "people:read",
    "people:write",
    "keys:read",
    "keys:write",
    "settings:write",
    "audit:read",
    "tiers:read",
    "tiers:draft",  # work on what is not in force: nobody is moved by it
    "tiers:write",
    "participants:read",
    "participants:write",
    "ledger:read",
    "reports:read",
    "reports:export",
    "reports:save",  # keep the address of a report under a name
    "reports:shape",  # what reports are broken down by, and what a point costs
    "exports:manage",  # cancel and delete what others have asked for, and change what others have sent to people
    "developers:read",
    "tenants:read",
    "tenants:write",
    "platform_audit:read",
)

# Operators run the platform and never see participants' data: what they may do with people concerns operators.
# Analysts read, export and keep reports under names, nothing else.
ROLES: dict[str, frozenset[str]] = {
    "operator": frozenset({"account", "people:read", "people:write", "tenants:read", "tenants:write", "platform_audit:read"}),
    "admin": frozenset(PERMISSIONS) - {"tenants:read", "tenants:write", "platform_audit:read"},
    "analyst": frozenset(
        {
            *("account", "tiers:read", "participants:read", "ledger:read", "developers:read"),
            *("reports:read", "reports:export", "reports:save"),
        }
    ),
}
OF_TENANTS = ("admin", "analyst")
OF_PLATFORM = ("operator",)


def allows(role: str, permission: str) -> bool:
    """Whether people with `role` may do what `permission` names."""
    return permission in ROLES.get(role, frozenset())


def assignable(*, is_operator: bool) -> tuple[str, ...]:
    """The roles that people of a tenant, or of the platform, can have."""
    return OF_PLATFORM if is_operator else OF_TENANTS
