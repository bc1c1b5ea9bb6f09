"""Sessions: where somebody is signed in."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import Record, created_at


class UserSession(Record):
    """One browser of one user. Its id travels in a signed cookie and changes with every step up."""

    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    is_complete: Mapped[bool]  # false while the second factor is still to come
    created_at: Mapped[datetime] = created_at()
    seen_at: Mapped[datetime]  # last use, to the minute; idle expiry counts from here
    fresh_at: Mapped[datetime]  # when its user last proved who they are
    ended_at: Mapped[datetime | None]  # signed out or revoked
    address: Mapped[str | None]
    user_agent: Mapped[str | None]
