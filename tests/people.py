"""People under test: staff of tenants and operators, browsers that sign in, and the codes they read."""

import itertools
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyotp
from argon2 import PasswordHasher
from flask import Flask
from gamify.deployment import Deployment
from gamify.models import AuditEntry, PlatformAuditEntry, User
from gamify.services import audit, passwords, second_factor, tenants, users
from gamify.services.audit import SYSTEM, Filter
from werkzeug.test import TestResponse

PASSWORD = "correct horse battery"
RECOMMENDED = passwords.HASHER
passwords.HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # so many sign in here, and nobody guesses
emails = (f"someone-{os.getpid()}-{n}@mail.example" for n in itertools.count())
addresses = (f"2001:db8:{n >> 16:x}:{n & 0xFFFF:x}::1" for n in itertools.count(1))
TOKEN = re.compile(r'name="csrf_token"\s+value="([^"]+)"')


def now() -> datetime:
    return datetime.now(UTC)


def new_user(here: Deployment, slug: str | None = None, *, role: str = "admin", email: str | None = None) -> User:
    """Make somebody of the tenant, or an operator."""
    with here.database.transaction() as session:
        tenant = tenants.get(session, slug) if slug else None
        role = role if slug else "operator"
        return users.create(session, tenant=tenant, email=email or next(emails), role=role, password=PASSWORD, actor=SYSTEM)


def enrolled(here: Deployment, user: User) -> tuple[pyotp.TOTP, list[str]]:
    """Give somebody a second factor with a code of long ago; return the app and the recovery codes."""
    past = datetime(2026, 1, 1, tzinfo=UTC)
    offer = second_factor.enrol(here.vault, user, now=past)
    app = pyotp.TOTP(offer.secret)
    with here.database.transaction() as session:
        codes = second_factor.confirm(session, here.vault, user, ticket=offer.ticket, code=app.at(past), actor=SYSTEM, now=past)
    return app, codes


def log_of(here: Deployment, tenant_id: int | None) -> list[AuditEntry | PlatformAuditEntry]:
    """What the log holds, oldest first."""
    with here.database.transaction(tenant_id) as session:
        return list(audit.search(session, tenant_id, Filter(), limit=1_000))[::-1]


def actions(here: Deployment, tenant_id: int | None, subject: str) -> list[str]:
    return [entry.action for entry in log_of(here, tenant_id) if entry.subject == subject]


@dataclass
class Page:
    """An answer with HTML in it."""

    response: TestResponse

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def text(self) -> str:
        return self.response.text

    @property
    def to(self) -> str:
        """Where it leads."""
        return self.response.headers.get("Location", "")

    @property
    def headers(self) -> Any:
        return self.response.headers


class Browser:
    """A browser of somebody's: keeps cookies, sends the token of the last form it saw, comes from an address of its own."""

    def __init__(self, app: Flask, *, address: str | None = None) -> None:
        self.client = app.test_client()
        self.address = address or next(addresses)
        self.token = ""

    def get(self, path: str, **kwargs: Any) -> Page:
        return self._open(path, method="GET", **kwargs)

    def post(self, path: str, data: dict[str, Any] | None = None, **kwargs: Any) -> Page:
        return self._open(path, method="POST", data={"csrf_token": self.token} | (data or {}), **kwargs)

    def sign_in(self, email: str, password: str = PASSWORD) -> Page:
        self.get("/dashboard/sign-in")
        page = self.post("/dashboard/sign-in", {"email": email, "password": password})
        if page.status in (302, 303):
            self.get("/dashboard/account")  # a new session has a new token
        return page

    def _open(self, path: str, **kwargs: Any) -> Page:
        kwargs.setdefault("environ_base", {"REMOTE_ADDR": self.address})
        with self.client.open(path, **kwargs) as response:
            response.get_data()
        if response.mimetype == "text/html" and (found := TOKEN.search(response.text)):
            self.token = found[1]
        return Page(response)
