"""The picture of requests over time: what it says in words, and that a loss is drawn where it happened."""

import importlib
from dataclasses import replace

import pytest
from dockerlab import figures
from dockerlab.records import Event, Request, Rollout, Task, Traffic

module = importlib.import_module("dockerlab.figures.draw_requests")

GOOD = [Request("/", second / 10, 0.01, "answered", 200, version="1" if second < 20 else "2") for second in range(40)]
LOST = [
    replace(request, fate="cut", status=None, version="") if 15 <= i < 20 else request for i, request in enumerate(GOOD)
]
ERRORS = [replace(request, status=502, version="") if 15 <= i < 20 else request for i, request in enumerate(GOOD)]
TASK = Task("a", 1, "node1", "shop:1", "shutdown", "shutdown", exit_code=0)
UPDATE = Rollout(
    "an update", "completed", Traffic(tuple(GOOD)), (Event(1.0, "begins"), Event(3.0, "completed")), (TASK,), (), ()
)


def test_it_says_who_answered_and_that_nothing_was_lost():
    assert repr(figures.requests([UPDATE])) == (
        "Requests over time. an update: answered by version 1, then version 2; no request was lost; "
        "meanwhile: begins, completed."
    )


@pytest.mark.parametrize("requests", [LOST, ERRORS])
def test_a_request_that_was_cut_or_answered_with_an_error_is_lost(requests):
    picture = figures.requests({"bad": Traffic(tuple(requests))})
    assert "some requests were lost" in repr(picture)


def test_what_differs_from_run_to_run_need_not_be_told():
    told = {repr(figures.requests({"a": Traffic(tuple(r))}, tell_losses=False)) for r in (GOOD, LOST)}
    assert told == {"Requests over time. a: answered by version 1, then version 2."}


def lost_bars(picture):
    """From where to where each bar of lost requests goes: in seconds."""
    [axes] = picture.figure.axes
    bars = [bar for bar in axes.patches if bar.get_hatch() == module._LOST[1] and bar.get_x() >= module.LEFT]
    scale = (module.WIDTH - module.MARGIN - module.LEFT) / (GOOD[-1].started_seconds + module.BIN_SECONDS)
    return sorted((bar.get_x() - module.LEFT) / scale for bar in bars if bar.get_height() != 14)  # 14: the legend's


def test_losses_are_drawn_where_they_happened():
    seconds = lost_bars(figures.requests({"bad": Traffic(tuple(LOST))}))
    assert seconds == pytest.approx([1.5, 1.75])


def test_a_request_is_drawn_when_it_was_sent_and_not_when_it_was_due():
    late = [replace(request, late_seconds=1.0) if request.fate == "cut" else request for request in LOST]
    seconds = lost_bars(figures.requests({"bad": Traffic(tuple(late))}))
    assert seconds == pytest.approx([2.5, 2.75])


def test_versions_differ_in_more_than_color():
    assert len({hatch for _, hatch in [*module._STYLES, module._LOST]}) == len(module._STYLES) + 1


def test_a_rollout_tells_how_it_ended():
    assert repr(UPDATE) == "an update: completed, no request was lost, the old tasks' exit code: 0"
    bad = replace(UPDATE, traffic=Traffic(tuple(LOST)), ended=(TASK, replace(TASK, exit_code=137)))
    assert repr(bad) == "an update: completed, requests were lost, the old tasks' exit code: 0, 137"
    assert bad.traffic.failed == 5
    assert bad.traffic.answered_by() == {"1": 15, "2": 20}
