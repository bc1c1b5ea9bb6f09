"""Signing in, step by step: the throttle, the password, the second factor, and what the log says of each."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from gamify.db import Database
from gamify.errors import SignInRefused
from gamify.models import Tenant, User
from gamify.services import person_log, second_factor, sessions, throttle, users
from gamify.services.person_log import Place
from gamify.services.sessions import SignedIn
from gamify.services.vault import Vault


class Door:
    """Where people come in, with what it takes to know them."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def enter(self, *, email: str, password: str, place: Place, now: datetime) -> SignedIn | None:
        """Begin a session for whoever has this e-mail and password; None if nobody does.

        Raises `TooManyTries`, or `SignInRefused` when the password is right but the tenant is out of use.
        """
        tries = (throttle.account(self._vault, email), throttle.address(self._vault, place.address))
        throttle.admit(self._database, tries, now=now)
        with self._database.transaction() as session:
            user = users.authenticate(session, email=email, password=password)
            if user is None:
                if known := users.find(session, email):
                    person_log.write_own(session, known, place, "user.sign_in_failed")
                return None
            throttle.forget(session, tries, now=now)
            tenant = session.get(Tenant, user.tenant_id) if user.tenant_id else None
            if tenant is None or tenant.status == "active":
                return _begin(session, user, tenant, place=place, now=now)
        raise SignInRefused("This business is suspended at the moment; ask the operator of the platform.")

    def confirm_password(self, who: SignedIn, password: str, *, place: Place, now: datetime) -> UUID | None:
        """Make the session fresh if it is their password, and return its new id.

        Wrong ones are throttled and logged like those of a sign-in. Raises `TooManyTries`.
        """
        tries = (throttle.account(self._vault, who.user.email), throttle.address(self._vault, place.address))
        throttle.admit(self._database, tries, now=now)
        with self._database.transaction() as session:
            found = users.authenticate(session, email=who.user.email, password=password)
            if found is None or found.id != who.user.id:
                person_log.write_own(session, who.user, place, "user.sign_in_failed")
                return None
            throttle.forget(session, tries, now=now)
            return sessions.renew(session, who.session.id, now=now)

    def pass_second_factor(self, who: SignedIn, code: str, *, place: Place, now: datetime) -> UUID | None:
        """Complete the session if the code is right, and return its new id. Raises `TooManyTries`."""
        tries = (throttle.second_factor(self._vault, who.user.id), throttle.address(self._vault, place.address))
        throttle.admit(self._database, tries, now=now)
        with self._database.transaction() as session:
            if not second_factor.check(session, self._vault, who.user, code, now=now):
                person_log.write_own(session, who.user, place, "user.second_factor_failed")
                return None
            throttle.forget(session, tries, now=now)
            person_log.write_own(session, who.user, place, "user.sign_in")
            return sessions.complete(session, who.session.id, now=now)

    def enrol(self, who: SignedIn, *, ticket: str, code: str, place: Place, now: datetime) -> tuple[UUID, list[str]]:
        """Turn the second factor on; return the session's new id and the recovery codes. It completes an unfinished one.

        Raises what `second_factor.confirm` does.
        """
        with self._database.transaction() as session:
            actor = person_log.acting(who.user, place)
            codes = second_factor.confirm(session, self._vault, who.user, ticket=ticket, code=code, actor=actor, now=now)
            if not who.session.is_complete:
                person_log.write_own(session, who.user, place, "user.sign_in")
            return sessions.complete(session, who.session.id, now=now), codes

    def leave(self, who: SignedIn, *, place: Place, now: datetime) -> None:
        """End the session."""
        with self._database.transaction() as session:
            sessions.end(session, who.session.id, now=now)
            person_log.write_own(session, who.user, place, "user.sign_out")


def _begin(session: Session, user: User, tenant: Tenant | None, *, place: Place, now: datetime) -> SignedIn:
    is_complete = user.totp_secret is None and not (tenant and tenant.requires_totp)
    row = sessions.begin(session, user, place=place, is_complete=is_complete, now=now)
    person_log.write_own(session, user, place, "user.sign_in" if is_complete else "user.password_accepted")
    return SignedIn(user, row, tenant)
