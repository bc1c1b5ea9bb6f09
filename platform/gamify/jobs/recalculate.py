"""Everybody is brought to where the ladder in force has them."""

import time
from collections.abc import Iterator

from gamify.deployment import Deployment
from gamify.errors import LockedByOthers
from gamify.jobs.registry import job
from gamify.services import recalculations

PAUSE = 0.2  # seconds, when somebody else holds what a range needs


@job()
def recalculate(here: Deployment, *, tenant_id: int) -> Iterator[None]:
    """Do the recalculation that goes on, range by range; begun again, it goes on from the last."""
    is_more = True
    while is_more:
        try:
            is_more = recalculations.advance(here.database, tenant_id)
        except LockedByOthers:
            time.sleep(PAUSE)
        yield
