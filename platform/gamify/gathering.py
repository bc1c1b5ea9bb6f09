"""Gathering: calls that arrive while another is being served are served together, next.

Whoever finds nobody at it leads: takes what waits, serves it in one go, and hands the lead to one of those who came
meanwhile. Nobody waits for company, so a lone call is as quick as without; under load each round carries more and
everything gets cheaper. Movements of a tenant become one statement with one commit; limits, one round trip to Redis.
Each caller is answered only after its own round is done.
"""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, TypeVar, cast

from gamify.errors import LockedByOthers

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MOST = 100  # items a round
CAREFUL_FOR = 2.0  # seconds after a lock could not be had, in which everybody writes alone


class _Turn(Enum):
    LEAD = auto()
    ALONE = auto()
    DONE = auto()


@dataclass(slots=True, eq=False)
class _Ticket(Generic[Item, Outcome]):
    """An item waiting to be served, and whoever waits for it."""

    item: Item
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
class _Lane(Generic[Item, Outcome]):
    """Items that can be served together: one group at a time is."""

    waiting: list[_Ticket[Item, Outcome]] = field(default_factory=list)
    is_led: bool = False
    careful_until: float = 0.0


class Gatherer(Generic[Item, Outcome]):
    """Gathers calls of this process. `serve` is given a lane and some items of it; it returns an outcome for each."""

    def __init__(self, serve: Callable[[Hashable, Sequence[Item]], Sequence[Outcome]], *, is_gathering: bool = True) -> None:
        self._serve, self._is_gathering = serve, is_gathering
        self._lanes: dict[Hashable, _Lane[Item, Outcome]] = {}
        self._lock = threading.Lock()

    def post(self, lane: Hashable, item: Item) -> Outcome:
        """Serve an item, perhaps together with others of its lane; return what became of it.

        Raises what `serve` raises for it, such as `Unavailable`.
        """
        if not self._is_gathering:
            return self._serve(lane, [item])[0]
        ticket: _Ticket[Item, Outcome] = _Ticket(item)
        turn = self._enter(lane, ticket)
        if turn is None:
            turn = ticket.wait()
        if turn is _Turn.LEAD:
            turn = self._lead(lane, ticket)
        if turn is _Turn.ALONE:
            return self._serve(lane, [item])[0]
        if ticket.fault is not None:
            raise ticket.fault
        return cast("Outcome", ticket.outcome)

    def _enter(self, name: Hashable, ticket: _Ticket[Item, Outcome]) -> _Turn | None:
        ticket.woken.acquire()
        with self._lock:
            lane = self._lanes.setdefault(name, _Lane())
            if lane.careful_until > time.monotonic():
                return _Turn.ALONE
            lane.waiting.append(ticket)
            if lane.is_led:
                return None
            lane.is_led = True
            return _Turn.LEAD

    def _lead(self, name: Hashable, ticket: _Ticket[Item, Outcome]) -> _Turn:
        with self._lock:
            lane = self._lanes[name]
            group, lane.waiting = lane.waiting[:MOST], lane.waiting[MOST:]
        turn, is_held_up = self._settle(name, group)
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
                    del self._lanes[name]
        for other in alone:
            other.wake(_Turn.ALONE)
        if heir is not None:
            heir.wake(_Turn.LEAD)
        for other in group:
            if other is not ticket:
                other.wake(turn)
        return turn

    def _settle(self, name: Hashable, group: list[_Ticket[Item, Outcome]]) -> tuple[_Turn, bool]:
        """Serve a group; return what its members do next, and whether a lock held it up."""
        try:
            outcomes = self._serve(name, [ticket.item for ticket in group])
        except LockedByOthers as error:
            if len(group) > 1:
                return _Turn.ALONE, True  # one item's lock must not hold up the others
            group[0].fault = error
            return _Turn.DONE, True
        except BaseException as error:  # noqa: BLE001  # each caller is told, whatever it is
            for ticket in group:
                ticket.fault = error
        else:
            for ticket, outcome in zip(group, outcomes, strict=True):
                ticket.outcome = outcome
        return _Turn.DONE, False
