"""Ladders and flows are drawn to scale."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.tier_drawing import Mark, draw
from dashboard.tier_flow import Tally, chart
from dashboard.tier_scale import HIGHEST, KINDS, scale_of

thresholds = st.lists(st.integers(0, HIGHEST), max_size=20, unique=True)


def marks(found: list[int]) -> list[Mark]:
    return [Mark(f"k{n}", f"Tier {n}", "gold", threshold) for n, threshold in enumerate(found)]


@given(thresholds, st.sampled_from([None, *KINDS]))
def test_more_points_are_further_to_the_right_and_all_fit(found, kind):
    scale = scale_of(found, kind)
    drawing = draw(marks(found), scale)

    begins = [piece.begin for piece in drawing.pieces]
    assert begins == sorted(begins)
    assert all(0 <= piece.begin <= 100 and piece.begin + piece.width <= 100.001 for piece in drawing.pieces)
    assert all(0 <= position <= 1000 for position in drawing.position.values())
    assert 1 <= len(scale.ticks) <= 8
    assert [tick.share for tick in scale.ticks] == sorted({tick.share for tick in scale.ticks})


@pytest.mark.parametrize(
    ("found", "kind"),
    [([], "linear"), ([0], "linear"), ([0, 500, 1500], "linear"), ([0, 10, 1_000], "log"), ([0, 10, 10**9], "log")],
)
def test_the_scale_suits_the_span_of_the_thresholds(found, kind):
    assert scale_of(found).kind == kind


def test_a_linear_scale_keeps_proportions_and_there_is_room_above_the_highest():
    scale = scale_of([0, 500, 1_500])

    assert scale.share(1_000) == pytest.approx(2 * scale.share(500))
    assert scale.share(1_500) < 0.9


def test_a_threshold_that_has_moved_shows_where_it_was():
    [piece] = draw([Mark("k", "Gold", "gold", 600, 500)], scale_of([600])).pieces

    assert piece.was is not None
    assert piece.was < piece.begin


def test_names_never_cover_each_other():
    drawing = draw(marks([n * 50 for n in range(20)]), scale_of([950]))
    for line in (0, 1):
        named = [piece for piece in drawing.pieces if piece.label and piece.line == line]
        ends = [piece.begin + 100 * len(piece.label) * 7 / 860 for piece in named]
        assert all(end <= after.begin for end, after in zip(ends, named[1:], strict=False) if not after.is_at_end)


def test_a_flow_is_drawn_by_how_many_make_it_and_nothing_for_a_tier_with_nobody():
    before = [Tally("gold", "Gold", "gold", 300), Tally("silver", "Silver", "silver", 700), Tally("old", "Old", "slate", 0)]
    after = [Tally("gold", "Gold", "gold", 500), Tally("silver", "Silver", "silver", 500)]
    drawn = chart(before, after, {("gold", "gold"): 300, ("silver", "gold"): 200, ("silver", "silver"): 500})

    assert [node.tally.code for node in drawn.left] == ["gold", "silver"]
    people = {(band.before.code, band.after.code): band.people for band in drawn.bands}
    assert people == {("gold", "gold"): 300, ("silver", "silver"): 500, ("silver", "gold"): 200}
    assert drawn.left[1].height == pytest.approx(drawn.left[0].height * 7 / 3, abs=0.2)
    assert drawn.bands[-1].is_move  # over those who stay


def test_nobody_is_no_drawing():
    assert chart([], [], {}) == (0.0, [], [], [])
