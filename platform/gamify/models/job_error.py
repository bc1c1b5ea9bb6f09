"""What went wrong with jobs."""

from datetime import datetime

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from gamify.models.base import Record


class JobError(Record):
    """Why a job's last go was none: its kind and place, or the sentence of a refusal. It goes with the job."""

    __tablename__ = "job_errors"

    job_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    error: Mapped[str]
