"""Passwords: how they are made, judged, stored and checked."""

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gamify.errors import FieldError

SHORTEST, LONGEST = 12, 1024

# OWASP's password storage cheat sheet, argon2id: 19 MiB, two passes, one lane.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def make() -> str:
    """Make a password nobody has to invent."""
    return secrets.token_urlsafe(15)


# What a password is checked against when there is nobody to check: the answer must take as long as any other.
_NOBODYS = HASHER.hash(make())


def problem(password: str) -> FieldError | None:
    """What is wrong with a new password."""
    if SHORTEST <= len(password) <= LONGEST:
        return None
    return FieldError("password", f"Must have {SHORTEST} to {LONGEST} characters.")


def digest(password: str) -> str:
    """What is stored of a password."""
    return HASHER.hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Whether it is the password that `stored` stands for; for None it never is, and takes as long."""
    try:
        return HASHER.verify(stored or _NOBODYS, password[:LONGEST]) and stored is not None and len(password) <= LONGEST
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(stored: str) -> bool:
    """Whether the password was stored at another cost than passwords are today."""
    return HASHER.check_needs_rehash(stored)
