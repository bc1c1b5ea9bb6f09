"""The API's door: who calls, how often, where to and with what right, in that order, before any view runs."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from flask import Flask, Response, current_app, g, request

from gamify.api.body import drain
from gamify.counters import Budget
from gamify.deployment import Deployment
from gamify.errors import AddressNotAllowed, MissingScope, RateLimited, TenantSuspended, Unauthenticated
from gamify.services import networks
from gamify.services.api_keys import Caller
from gamify.services.audit import Actor

View = TypeVar("View", bound=Callable[..., Any])

GUARDED = "/api/v1/gamify/"
# The address of a participant, and of what is below it.
OF_PARTICIPANT = re.compile(rf"(?s)^({GUARDED}participants/).+?(/points|/points/transactions|/tier)?\Z")


def init_app(app: Flask, deployment: Deployment) -> None:
    """Guard everything under the API's base path."""

    @app.before_request
    def guard() -> None:
        if not f"{request.path}/".startswith(GUARDED):
            return
        g.began = time.perf_counter()
        admitted = deployment.callers.admit(request.headers.get("X-API-Key", ""))
        if admitted is None:
            raise Unauthenticated
        g.caller, g.budget = who, budget = admitted
        if not budget.is_allowed:
            raise RateLimited(limit=budget.limit, subject=budget.subject, retry_after=budget.retry_after)
        if request.routing_exception is not None:
            raise request.routing_exception
        _check_right(who)
        deployment.last_used.note(who.tenant_id, who.api_key_id, request.remote_addr, now=datetime.now(UTC))

    app.after_request(partial(remember, deployment))
    app.after_request(finish)


def remember(deployment: Deployment, response: Response) -> Response:
    """Keep for developers how a request under a valid key has ended, and count it for its tenant's month."""
    who: Caller | None = g.get("caller")
    if who is not None:
        now, duration = datetime.now(UTC), time.perf_counter() - g.began
        line = (now.timestamp(), request.method, _without_ids(request.path), response.status_code, duration * 1000, g.request_id)
        deployment.request_log.note(who.tenant_id, who.api_key_id, *line)
        deployment.request_months.count(who.tenant_id, now=now)
    return response


def finish(response: Response) -> Response:
    """Name the request and what is left of the limits, and read away a body that nobody wanted."""
    headers = response.headers
    headers.add("X-Request-ID", g.request_id)
    budget: Budget | None = g.get("budget")
    if budget is not None and budget.limit:
        headers.add("X-RateLimit-Limit", str(budget.limit))
        headers.add("X-RateLimit-Remaining", str(budget.remaining))
        headers.add("X-RateLimit-Reset", str(budget.reset_at))
    if response.status_code >= 400 and request.method not in ("GET", "HEAD"):  # noqa: PLR2004  # the first error status
        drain(request)
    return response


def needs(scope: str) -> Callable[[View], View]:
    """Say which scope a view needs. A guarded view without one is refused to everybody."""

    def mark(view: View) -> View:
        view.scope = scope  # type: ignore[attr-defined]  # read by `scope_of`
        return view

    return mark


def scope_of(app: Flask, endpoint: str, method: str) -> str | None:
    """Return the scope that `needs` gave the method of an endpoint's view."""
    view_class = getattr(app.view_functions[endpoint], "view_class", None)
    method = "get" if method == "HEAD" else method.lower()
    return getattr(getattr(view_class, method, None), "scope", None)


def caller() -> Caller:
    """Who the current request speaks for."""
    found: Caller = g.caller
    return found


def actor() -> Actor:
    """Who changes something, for the audit log."""
    who = caller()
    return Actor("key", who.prefix, who.api_key_id, request.remote_addr, g.request_id)


def _without_ids(path: str) -> str:
    """Nobody's id is kept where erasing them would not find it."""
    return OF_PARTICIPANT.sub(r"\1{participant_id}\2", path)


def _check_right(who: Caller) -> None:
    if who.networks and not networks.contain(who.networks, request.remote_addr):
        raise AddressNotAllowed(request.remote_addr)
    scope = scope_of(current_app, request.endpoint or "", request.method)
    if scope is None or scope not in who.scopes:
        raise MissingScope(str(scope))
    if who.is_suspended:
        raise TenantSuspended
