"""Sessions: who is signed in where, and until when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from gamify.errors import NotFound
from gamify.models import Tenant, User, UserSession
from gamify.services import audit
from gamify.services.audit import Actor
from gamify.services.person_log import Place

IDLE = timedelta(hours=8)  # without use
ABSOLUTE = timedelta(days=14)  # whatever happens
UNFINISHED = timedelta(minutes=15)  # from the password to the second factor
FRESH = timedelta(minutes=10)  # after a password or a code, for what matters most
SEEN_EVERY = timedelta(minutes=1)  # a session in use is written to this often
LONGEST_USER_AGENT = 300


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody, the session they use, and their tenant (None: an operator)."""

    user: User
    session: UserSession
    tenant: Tenant | None

    @property
    def must_enrol(self) -> bool:
        """Whether the tenant wants a second factor of somebody who has none yet."""
        return self.tenant is not None and self.tenant.requires_totp and self.user.totp_secret is None

    def is_fresh(self, now: datetime) -> bool:
        """Whether they proved lately who they are."""
        return now - self.session.fresh_at < FRESH


def begin(session: Session, user: User, *, place: Place, is_complete: bool, now: datetime) -> UserSession:
    """Begin a session, which leads nowhere but to the second factor until it is complete."""
    agent = (place.user_agent or "").replace("\0", "")[:LONGEST_USER_AGENT] or None
    row = UserSession(
        id=uuid4(),
        user_id=user.id,
        is_complete=is_complete,
        created_at=now,
        seen_at=now,
        fresh_at=now,
        address=place.address,
        user_agent=agent,
    )
    session.add(row)
    session.flush()
    return row


def find(session: Session, session_id: UUID, *, now: datetime, is_use: bool = True) -> SignedIn | None:
    """Return whose session this is at `now`; None if it has ended or expired, or its user may not sign in any more.

    What is no use, such as a page that brings itself up to date, does not keep a session from going idle.
    """
    query = (
        select(UserSession, User, Tenant)
        .join(User, User.id == UserSession.user_id)
        .join(Tenant, Tenant.id == User.tenant_id, isouter=True)
        .where(UserSession.id == session_id, _is_alive(now), User.removed_at.is_(None))
        .where(or_(User.tenant_id.is_(None), Tenant.status == "active"))
    )
    found = session.execute(query).one_or_none()
    if found is None:
        return None
    row, user, tenant = found
    if is_use and now - row.seen_at >= SEEN_EVERY:
        # By id, as it may be renewed at the same time, or have ended since.
        session.execute(update(UserSession).where(UserSession.id == session_id).values(seen_at=now))
    return SignedIn(user, row, tenant)


def complete(session: Session, session_id: UUID, *, now: datetime) -> UUID:
    """The second factor was right: make the session a whole one, under a new id. Return the id."""
    return _renew(session, session_id, now=now, is_complete=True)


def renew(session: Session, session_id: UUID, *, now: datetime) -> UUID:
    """Give the session a new id after its user proved who they are, so that the old one is worth nothing.

    Raises `NotFound` if the session has ended meanwhile.
    """
    return _renew(session, session_id, now=now)


def end(session: Session, session_id: UUID, *, now: datetime) -> None:
    """End a session. Ending it twice changes nothing."""
    session.execute(update(UserSession).where(UserSession.id == session_id, UserSession.ended_at.is_(None)).values(ended_at=now))


def end_all(session: Session, user_id: int, *, now: datetime, but: UUID | None = None) -> int:
    """End all of a user's sessions, `but` excepted; return how many."""
    query = update(UserSession).where(UserSession.user_id == user_id, UserSession.ended_at.is_(None))
    if but is not None:
        query = query.where(UserSession.id != but)
    return len(session.scalars(query.values(ended_at=now).returning(UserSession.id)).all())


def of_user(session: Session, user_id: int, *, now: datetime) -> Sequence[UserSession]:
    """Return a user's living sessions, the last used first."""
    query = select(UserSession).where(UserSession.user_id == user_id, UserSession.is_complete, _is_alive(now))
    return session.scalars(query.order_by(UserSession.seen_at.desc(), UserSession.id)).all()


def revoke(session: Session, user: User, session_id: UUID, *, actor: Actor, now: datetime) -> None:
    """End one of a user's own sessions. Raises `NotFound` for any other."""
    row = session.scalar(select(UserSession).where(UserSession.id == session_id, UserSession.user_id == user.id))
    if row is None:
        raise NotFound("There is no such session; it may have ended already.")
    if row.ended_at is None:
        end(session, row.id, now=now)
        before = {"address": row.address, "user_agent": row.user_agent}
        audit.record(session, user.tenant_id, actor, action="session.revoke", subject=user.email, before=before)


def revoke_others(session: Session, user: User, *, keep: UUID, actor: Actor, now: datetime) -> int:
    """End all of a user's sessions but the one in use; return how many."""
    count = end_all(session, user.id, now=now, but=keep)
    audit.record(session, user.tenant_id, actor, action="session.revoke", subject=user.email, before={"count": count})
    return count


def _renew(session: Session, session_id: UUID, *, now: datetime, **values: bool) -> UUID:
    alive = update(UserSession).where(UserSession.id == session_id, UserSession.ended_at.is_(None))
    changed = alive.values(id=uuid4(), fresh_at=now, seen_at=now, **values).execution_options(synchronize_session=False)
    new_id: UUID | None = session.scalar(changed.returning(UserSession.id))
    if new_id is None:
        raise NotFound("Your session has ended; sign in again.")
    return new_id


def _is_alive(now: datetime) -> ColumnElement[bool]:
    return and_(
        UserSession.ended_at.is_(None),
        UserSession.seen_at > now - IDLE,
        UserSession.created_at > now - ABSOLUTE,
        or_(UserSession.is_complete, UserSession.created_at > now - UNFINISHED),
    )
