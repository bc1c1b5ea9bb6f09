"""Guessing gets slower and slower, by account and by address; nobody is ever locked out.

A try is counted before it is made, in one statement, so that many at once cannot outrun the count; success forgets it.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.db import Database
from gamify.errors import TooManyTries
from gamify.services.vault import Vault

FREE = 3  # failures without any delay
ACCOUNT_CAP, ADDRESS_CAP, CODE_CAP = 30, 60, 300  # seconds; six digits need more patience than a password
QUIET = timedelta(hours=1)  # after which failures are forgotten
SWEPT_AT_ONCE = 1_000

# After n tries in a row the next one waits 2^(n - 4) seconds, from the fourth on, up to the cap.
_ADMIT = text(f"""
    INSERT INTO sign_in_failures AS known (subject, count, last_at) VALUES (:subject, 1, :now)
    ON CONFLICT (subject) DO UPDATE
    SET count = CASE WHEN known.last_at <= :forgotten THEN 1 ELSE known.count + 1 END, last_at = :now
    WHERE known.last_at <= :forgotten OR known.count <= {FREE}
       OR known.last_at + make_interval(secs => LEAST(:cap, 2 ^ LEAST(known.count - {FREE + 1}, 20))) <= :now
    RETURNING count
""")  # noqa: S608  # constants of ours
_LAST = text("SELECT count, last_at FROM sign_in_failures WHERE subject = :subject")
_FORGET = text("DELETE FROM sign_in_failures WHERE subject = ANY(:subjects)")
_SWEEP = text(f"""
    DELETE FROM sign_in_failures WHERE subject IN (
        SELECT subject FROM sign_in_failures WHERE last_at <= :forgotten LIMIT {SWEPT_AT_ONCE} FOR UPDATE SKIP LOCKED
    )
""")  # noqa: S608  # constants of ours


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """Whose tries are counted, and how long they wait at most (s)."""

    digest: bytes
    cap: int


def account(vault: Vault, email: str) -> Subject:
    """Tries for one e-mail address, known or not."""
    return Subject(vault.digest("throttle", f"account:{email.strip().lower()}"), ACCOUNT_CAP)


def address(vault: Vault, where: str | None) -> Subject:
    """Tries from one address; of IPv6 the /64, which one customer has for themselves."""
    return Subject(vault.digest("throttle", f"address:{_network(where)}"), ADDRESS_CAP)


def second_factor(vault: Vault, user_id: int) -> Subject:
    """Codes of one user."""
    return Subject(vault.digest("throttle", f"second factor:{user_id}"), CODE_CAP)


def reset(vault: Vault, email: str) -> Subject:
    """Requests for a link to one e-mail address, known or not."""
    return Subject(vault.digest("throttle", f"reset:{email.strip().lower()}"), CODE_CAP)


def reset_address(vault: Vault, where: str | None) -> Subject:
    """Requests for links from one address."""
    return Subject(vault.digest("throttle", f"reset address:{_network(where)}"), CODE_CAP)


def admit(database: Database, subjects: Iterable[Subject], *, now: datetime) -> None:
    """Count a try of all `subjects`, which counts as failed until it is forgotten. Raises `TooManyTries`, counting none."""
    with database.transaction() as session:
        for subject in sorted(subjects):  # in one order, so that nobody waits in a circle
            values = {"subject": subject.digest, "cap": subject.cap, "now": now, "forgotten": now - QUIET}
            if session.scalar(_ADMIT, values) is None:
                raise TooManyTries(_wait(session, subject, now))


def forget(session: Session, subjects: Iterable[Subject], *, now: datetime) -> None:
    """A try was right: forget what failed before it, and whatever has been quiet for long."""
    session.execute(_FORGET, {"subjects": sorted(subject.digest for subject in subjects)})
    session.execute(_SWEEP, {"forgotten": now - QUIET})


def delay(count: int, cap: int) -> int:
    """How long (s) to wait after `count` failures in a row."""
    return 0 if count <= FREE else min(cap, 2 ** min(count - FREE - 1, 20))


def _wait(session: Session, subject: Subject, now: datetime) -> int:
    count, last_at = session.execute(_LAST, {"subject": subject.digest}).one()
    left: timedelta = last_at + timedelta(seconds=delay(count, subject.cap)) - now
    return max(1, -(-left // timedelta(seconds=1)))


def _network(where: str | None) -> str:
    try:
        found = ipaddress.ip_address(where or "")
    except ValueError:
        return where or "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found), 64), strict=False))
    return str(found)
