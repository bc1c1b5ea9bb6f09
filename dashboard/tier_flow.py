"""The flow from tiers to tiers, as a drawing: who is where before on the left, where after on the right."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

LEAST_NODE, LEAST_BAND = 18.0, 1.5  # pixels: room for a name; what an eye still sees
GAP = 8.0  # between two nodes
BODY = 220.0  # pixels that are shared out by count
LONGEST = 18  # letters of a name


class Tally(NamedTuple):
    """A tier and how many are on it."""

    code: str | None
    name: str
    tone: str
    people: int


class Node(NamedTuple):
    """A tier on one side."""

    tally: Tally
    label: str
    top: float
    height: float

    @property
    def middle(self) -> float:
        """Where its name stands."""
        return self.top + self.height / 2


class Band(NamedTuple):
    """Some who go from one tier to another, or stay."""

    before: Tally
    after: Tally
    people: int
    path: str
    is_move: bool


class Chart(NamedTuple):
    """What the template draws."""

    height: float
    left: list[Node]
    right: list[Node]
    bands: list[Band]


Flows = Mapping[tuple[str | None, str | None], int]


def chart(before: Sequence[Tally], after: Sequence[Tally], flows: Flows) -> Chart:
    """Return the drawing of flows between two ladders, the highest tier first; tiers with nobody are left out."""
    left, right = _stack(before), _stack(after)
    height = max((node.top + node.height for node in (*left, *right)), default=0.0)
    bands = _bands({node.tally.code: node for node in left}, {node.tally.code: node for node in right}, flows)
    return Chart(height, left, right, sorted(bands, key=lambda band: band.is_move))


def _stack(tallies: Sequence[Tally]) -> list[Node]:
    total, top, nodes = sum(each.people for each in tallies), 0.0, []
    for each in tallies:
        if each.people:
            height = max(LEAST_NODE, BODY * each.people / total)
            label = each.name if len(each.name) <= LONGEST else f"{each.name[: LONGEST - 1].rstrip()}…"
            nodes.append(Node(each, label, round(top, 1), round(height, 1)))
            top += height + GAP
    return nodes


def _bands(left: Mapping[str | None, Node], right: Mapping[str | None, Node], flows: Flows) -> list[Band]:
    """Bands leave and arrive in the order of the tiers, so that they cross as little as they can."""
    down_left, down_right, bands = dict.fromkeys(left, 0.0), dict.fromkeys(right, 0.0), []
    for one in left:
        for other in right:
            if count := flows.get((one, other), 0):
                source, goal = left[one], right[other]
                from_top, from_height = source.top + down_left[one], source.height * count / source.tally.people
                to_top, to_height = goal.top + down_right[other], goal.height * count / goal.tally.people
                down_left[one] += from_height
                down_right[other] += to_height
                path = _path(from_top, max(from_height, LEAST_BAND), to_top, max(to_height, LEAST_BAND))
                bands.append(Band(source.tally, goal.tally, count, path, one != other))
    return bands


def _path(top: float, height: float, to_top: float, to_height: float) -> str:
    """A band across a box that is 100 wide."""
    below, to_below = top + height, to_top + to_height
    return (
        f"M0 {top:.1f}C50 {top:.1f} 50 {to_top:.1f} 100 {to_top:.1f}"
        f"V{to_below:.1f}C50 {to_below:.1f} 50 {below:.1f} 0 {below:.1f}Z"
    )
