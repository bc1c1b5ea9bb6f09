"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes for the day it is lost."""

import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

import pyotp
import segno
from sqlalchemy import any_, func, literal, update
from sqlalchemy.orm import Session

from gamify.errors import Conflict, FieldError, Invalid
from gamify.models import Tenant, User
from gamify.services import audit
from gamify.services.audit import Actor
from gamify.services.vault import Vault

ISSUER = "Gamify"
STEP = 30  # seconds
WINDOW = 1  # steps a clock may be off
TICKET_AGE = 3_600  # seconds between the QR code and the first code
RECOVERY_CODES, GROUPS, GROUP_LENGTH = 10, 3, 4
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without what is easily mistaken
CODE = re.compile(r"[0-9]{6}")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What somebody needs to set up an app. Nothing is stored until `ticket` comes back with a code."""

    secret: str
    uri: str
    qr: str  # a data: URI
    ticket: str


def enrol(vault: Vault, user: User, *, now: datetime) -> Enrolment:
    """Propose a secret."""
    return _enrolment(vault, user, pyotp.random_base32(), now)


def enrolment_of(vault: Vault, user: User, ticket: str, *, now: datetime) -> Enrolment:
    """Return the proposal again that `ticket` stands for, or a new one where it stands for none."""
    secret = _secret_of(vault, user, ticket, now)
    return _enrolment(vault, user, secret, now) if secret else enrol(vault, user, now=now)


def confirm(session: Session, vault: Vault, user: User, *, ticket: str, code: str, actor: Actor, now: datetime) -> list[str]:
    """Turn the second factor on, as `code` proves that the app is set up; return ten recovery codes, shown this once.

    Raises `Invalid` for a wrong code or a ticket that is too old, `Conflict` if it is on already.
    """
    secret = _secret_of(vault, user, ticket, now)
    if secret is None:
        raise Invalid([FieldError("code", "This took too long; scan the new QR code below and enter its code.")])
    step = _step_of(secret, code, now)
    if step is None:
        raise Invalid([FieldError("code", "That is not the code; check the clock of your device and try the next one.")])
    codes = [_new_code() for _ in range(RECOVERY_CODES)]
    values = {
        "totp_secret": vault.seal("totp", secret.encode(), now=now),
        "totp_step": step,
        "recovery_digests": [_digest(vault, user, each) for each in codes],
    }
    # Only where there is none, or the first of two browsers would hold an app that does not work.
    changed = update(User).where(User.id == user.id, User.totp_secret.is_(None)).values(values).returning(User.id)
    if session.scalar(changed) is None:
        raise Conflict("Your second factor is on already.")
    said = {"before": {"second_factor": False}, "after": {"second_factor": True}}
    audit.record(session, user.tenant_id, actor, action="user.second_factor_on", subject=user.email, **said)
    return codes


def check(session: Session, vault: Vault, user: User, code: str, *, now: datetime) -> bool:
    """Whether it is the code of now, or a recovery code. Either is used up by this, so that none works twice."""
    code = re.sub(r"[\s-]", "", code).lower()
    secret = vault.unseal("totp", user.totp_secret or b"")
    step = _step_of(secret.decode(), code, now) if secret else None
    if step is not None:
        query = update(User).where(User.id == user.id, User.totp_step < step).values(totp_step=step)
    else:
        used = _digest(vault, user, code)
        left = func.array_remove(User.recovery_digests, used)
        query = update(User).where(User.id == user.id, literal(used) == any_(User.recovery_digests)).values(recovery_digests=left)
    return session.scalar(query.returning(User.id).execution_options(synchronize_session=False)) is not None


def disable(session: Session, user: User, tenant: Tenant | None, *, actor: Actor) -> None:
    """Turn the second factor off. Raises `Conflict` where the tenant requires it."""
    if tenant is not None and tenant.requires_totp:
        raise Conflict(f"{tenant.name} requires a second factor of everybody.")
    if user.totp_secret is None:
        return
    user.totp_secret, user.recovery_digests = None, []
    session.flush()
    said = {"before": {"second_factor": True}, "after": {"second_factor": False}}
    audit.record(session, user.tenant_id, actor, action="user.second_factor_off", subject=user.email, **said)


def require(session: Session, tenant: Tenant, *, is_required: bool, actor: Actor) -> None:
    """Require a second factor of everybody of the tenant, from their next sign-in on, or leave it to them."""
    before, tenant.requires_totp = tenant.requires_totp, is_required
    if before != is_required:
        session.flush()
        said = {"before": {"requires_totp": before}, "after": {"requires_totp": is_required}}
        audit.record(session, tenant.id, actor, action="tenant.require_second_factor", subject=tenant.slug, **said)


def _enrolment(vault: Vault, user: User, secret: str, now: datetime) -> Enrolment:
    uri = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER)
    ticket = vault.seal("totp enrolment", json.dumps([user.id, secret]).encode(), now=now)
    qr = segno.make(uri, micro=False).svg_data_uri(scale=4, border=4, light="#fff")
    return Enrolment(secret, uri, qr, ticket.decode())


def _secret_of(vault: Vault, user: User, ticket: str, now: datetime) -> str | None:
    opened = vault.unseal_recent("totp enrolment", ticket.encode(), now=now, seconds=TICKET_AGE)
    user_id, secret = json.loads(opened) if opened else (None, None)
    return secret if user_id == user.id else None


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    """The step whose code this is, among those that clocks may disagree about; the latest, if several."""
    if not CODE.fullmatch(code):
        return None
    current = int(now.timestamp()) // STEP
    steps = range(current + WINDOW, current - WINDOW - 1, -1)
    found = [step for step in steps if secrets.compare_digest(pyotp.TOTP(secret).at(step * STEP), code)]
    return found[0] if found else None


def _new_code() -> str:
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
    return "-".join(groups)


def _digest(vault: Vault, user: User, code: str) -> bytes:
    return vault.digest("recovery code", f"{user.id}:{code.replace('-', '')}")
