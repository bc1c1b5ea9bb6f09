"""Failures to sign in lately, by account and by address, so that guessing gets slower and slower."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import Record


class SignInFailure(Record):
    """How often in a row signing in has failed for one account (known or not) or from one address."""

    __tablename__ = "sign_in_failures"

    subject: Mapped[bytes] = mapped_column(primary_key=True)  # HMAC-SHA256 of `account:…` or `address:…`
    count: Mapped[int]
    last_at: Mapped[datetime]
