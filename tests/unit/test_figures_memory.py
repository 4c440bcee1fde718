"""The bars say in words what they draw, and no size, as that differs from run to run."""

import re

import pytest
from dockerlab.figures import memory

MEASURED = {"one": [55_000_000], "two": [26_000_000, 12_000_000, 53_000_000, 53_000_000]}


def test_the_text_tells_the_order_and_no_sizes():
    told = memory(MEASURED).alt
    assert told == "Memory, from the least to the most: one, two. (one: 1 process, two: 4 processes.)"
    assert not re.search(r"\d\d", told)


@pytest.mark.parametrize("measured", [MEASURED, {"one": [1]}, {"a long name of a container": [10**9] * 9, "b": [1]}])
def test_all_of_it_is_on_the_card(measured):
    figure = memory(measured).figure
    figure.canvas.draw()
    card = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert card.x0 <= box.x0 < box.x1 <= card.x1, text.get_text()
        assert card.y0 <= box.y0 < box.y1 <= card.y1, text.get_text()
