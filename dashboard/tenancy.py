"""Whose data a page is about: the visitor's tenant or, with `?mode=test` in its address, the sandbox."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, g, request, url_for
from gamify.db import hurry
from gamify.deployment import database, deployment
from gamify.models import Tenant
from gamify.services import tenants
from sqlalchemy.orm import Session

from dashboard.guard import PUBLIC, permission_of, visitor, who

TEST = "test"
LONGEST_WAIT = 5  # seconds for a figure or a page of a list: whoever asks for many costly ones at once takes threads from all


def init_app(app: Flask) -> None:
    """Carry the mode from page to page, so that every link says whether it is about the sandbox."""

    @app.url_defaults
    def keep_mode(endpoint: str, values: dict[str, Any]) -> None:
        permission, _ = permission_of(app, endpoint) if endpoint in app.view_functions else (None, False)
        if permission not in (None, PUBLIC) and "mode" not in values and request.args.get("mode") == TEST:
            values["mode"] = TEST

    @app.context_processor
    def for_templates() -> dict[str, Any]:
        return {"is_sandbox": is_sandbox, "in_mode": in_mode}


def is_sandbox() -> bool:
    """Whether the page is about the sandbox; operators have none."""
    found = visitor() if request.args.get("mode") == TEST else None
    return found is not None and found.tenant is not None


def here() -> Tenant:
    """The tenant or sandbox that the page is about; only for people of a tenant."""
    if "tenant" not in g:
        g.tenant = _find()
    found: Tenant = g.tenant
    return found


def zone() -> ZoneInfo:
    """The time zone whose days the page speaks of; of operators UTC."""
    found = visitor()
    return ZoneInfo(found.tenant.time_zone if found and found.tenant else "UTC")


@contextmanager
def reading() -> Iterator[Session]:
    """One moment of the tenant, to read figures at; if there is much that is not summed yet, some of it is first."""
    deployment().rollups.catch_up(here().id)
    with database().snapshot(here().id) as session:
        hurry(session, seconds=LONGEST_WAIT)
        yield session


def in_mode(mode: str) -> str:
    """The address of this page in the other mode, without what belongs to one of them alone."""
    endpoint, values = request.endpoint or "home.index", dict(request.view_args or {})
    if request.method != "GET" or request.routing_exception or values:
        endpoint, values = "home.index", {}
    return url_for(endpoint, **values, mode=TEST if mode == TEST else None)


def _find() -> Tenant:
    own = who().tenant
    if own is None:
        raise RuntimeError("operators have no tenant, and no permission for pages about one")
    if not is_sandbox():
        return own
    with database().transaction() as session:
        return tenants.get(session, own.slug, mode=TEST)
