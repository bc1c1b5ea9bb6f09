"""Gathering: requests that arrive while another of the same tenant is being written are written together, next.

Whoever finds nobody writing leads: takes what waits, writes it as one statement with one commit, and hands the lead to
one of those who came meanwhile. Nobody waits for company, so a lone request is as quick as without; under load each
statement carries more and everything gets cheaper. Each caller is answered only after its own commit.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import cast

from gamify.errors import LockedByOthers
from gamify.services.ledger import Movement, Outcome

MOST = 100  # movements a statement
CAREFUL_FOR = 2.0  # seconds after a lock could not be had, in which everybody writes alone

Write = Callable[[int, Sequence[Movement]], list[Outcome]]


class _Turn(Enum):
    LEAD = auto()
    ALONE = auto()
    DONE = auto()


@dataclass(slots=True, eq=False)
class _Ticket:
    """A movement waiting to be written, and whoever waits for it."""

    movement: Movement
    turn: _Turn | None = None
    outcome: Outcome | None = None
    fault: BaseException | None = None
    woken: threading.Lock = field(default_factory=threading.Lock)

    def wait(self) -> _Turn | None:
        self.woken.acquire()
        return self.turn

    def wake(self, turn: _Turn) -> None:
        self.turn = turn
        self.woken.release()


@dataclass(slots=True)
class _Lane:
    """Movements of one tenant: one group at a time is being written."""

    waiting: list[_Ticket] = field(default_factory=list)
    is_led: bool = False
    careful_until: float = 0.0


class Gatherer:
    """Gathers movements of this process. `write` writes some of one tenant, in one transaction."""

    def __init__(self, write: Write, *, is_gathering: bool = True) -> None:
        self._write, self._is_gathering = write, is_gathering
        self._lanes: dict[int, _Lane] = {}
        self._lock = threading.Lock()

    def post(self, tenant_id: int, movement: Movement) -> Outcome:
        """Write a movement, perhaps together with others; return what became of it.

        Raises what `write` raises for it, such as `Unavailable`.
        """
        if not self._is_gathering:
            return self._write(tenant_id, [movement])[0]
        ticket = _Ticket(movement)
        turn = self._enter(tenant_id, ticket)
        if turn is None:
            turn = ticket.wait()
        if turn is _Turn.LEAD:
            turn = self._lead(tenant_id, ticket)
        if turn is _Turn.ALONE:
            return self._write(tenant_id, [movement])[0]
        if ticket.fault is not None:
            raise ticket.fault
        return cast("Outcome", ticket.outcome)

    def _enter(self, tenant_id: int, ticket: _Ticket) -> _Turn | None:
        ticket.woken.acquire()
        with self._lock:
            lane = self._lanes.setdefault(tenant_id, _Lane())
            if lane.careful_until > time.monotonic():
                return _Turn.ALONE
            lane.waiting.append(ticket)
            if lane.is_led:
                return None
            lane.is_led = True
            return _Turn.LEAD

    def _lead(self, tenant_id: int, ticket: _Ticket) -> _Turn:
        with self._lock:
            lane = self._lanes[tenant_id]
            group, lane.waiting = lane.waiting[:MOST], lane.waiting[MOST:]
        turn, is_held_up = self._settle(tenant_id, group)
        alone, heir = [], None
        with self._lock:
            if is_held_up:
                lane.careful_until = time.monotonic() + CAREFUL_FOR
                alone, lane.waiting = lane.waiting, []
            if lane.waiting:
                heir = lane.waiting[0]
            else:
                lane.is_led = False
                if not is_held_up:
                    del self._lanes[tenant_id]
        for other in alone:
            other.wake(_Turn.ALONE)
        if heir is not None:
            heir.wake(_Turn.LEAD)
        for other in group:
            if other is not ticket:
                other.wake(turn)
        return turn

    def _settle(self, tenant_id: int, group: list[_Ticket]) -> tuple[_Turn, bool]:
        """Write a group; return what its members do next, and whether a lock held it up."""
        try:
            outcomes = self._write(tenant_id, [ticket.movement for ticket in group])
        except LockedByOthers as error:
            if len(group) > 1:
                return _Turn.ALONE, True  # one participant's lock must not hold up the others
            group[0].fault = error
            return _Turn.DONE, True
        except BaseException as error:  # noqa: BLE001  # each caller is told, whatever it is
            for ticket in group:
                ticket.fault = error
        else:
            for ticket, outcome in zip(group, outcomes, strict=True):
                ticket.outcome = outcome
        return _Turn.DONE, False
