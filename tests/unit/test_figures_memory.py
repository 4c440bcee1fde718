"""The bars say in words what they draw, and no size, as that differs from run to run."""

import re

import pytest
from dockerlab.figures import memory
from dockerlab.records import Resident

TWO = [Resident("parent", 26_000_000), Resident("helper", 12_000_000), *[Resident("worker", 53_000_000)] * 2]
MEASURED = {"one": [Resident("server", 55_000_000)], "two": TWO}


def test_the_text_tells_the_order_and_who_is_there_and_no_sizes():
    told = memory(MEASURED).alt
    assert told == (
        "Memory, from the least to the most: one, two. Processes: one: 1 server; two: 1 parent, 1 helper, 2 workers."
    )
    assert not re.search(r"\d\d", told)


def test_each_role_that_is_there_is_named_on_the_card():
    words = [text.get_text() for text in memory(MEASURED).figure.axes[0].texts]
    assert {"server", "parent", "helper", "worker"} <= {*words}
    assert "helper" not in [text.get_text() for text in memory({"one": MEASURED["one"]}).figure.axes[0].texts]


@pytest.mark.parametrize(
    "measured",
    [
        MEASURED,
        {"one": [Resident("server", 1)]},
        {"a long name of a container": [Resident("worker", 10**9)] * 9, "b": [Resident("server", 1)]},
    ],
)
def test_all_of_it_is_on_the_card(measured):
    figure = memory(measured).figure
    figure.canvas.draw()
    card = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert card.x0 <= box.x0 < box.x1 <= card.x1, text.get_text()
        assert card.y0 <= box.y0 < box.y1 <= card.y1, text.get_text()
