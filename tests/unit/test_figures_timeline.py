"""The timeline says in words what it draws; all that it draws is on the card, and no text lies on another."""

import itertools
import re

import pytest
from dockerlab.figures.draw_timeline import _MARKS, timeline
from dockerlab.records import Event, Request, Stop
from matplotlib.lines import Line2D
from matplotlib.text import Text


def a_stop(name, seconds, exit_code, ran, *, requests=(), grace=10, drain=None):
    events = [Event(0.0, "SIGTERM")]
    if ran:
        events.append(Event(0.8 * seconds, "shutdown"))
    if exit_code == 137:
        events.append(Event(grace + 0.01, "SIGKILL"))
    events.append(Event(seconds, "exit"))
    return Stop(name, "", seconds, exit_code, exit_code == 137, ran, grace, tuple(events), tuple(requests), drain)


def slow(outcome, seconds, status=200):
    return Request("/slow?seconds=5", -0.6, seconds + 0.6, outcome, status)


EXEC = a_stop("exec form", 0.5, 0, True)
SHELL = a_stop("shell form", 10.2, 137, False)
NONE = a_stop("no handler", 10.2, 137, None)
INIT = a_stop("shell form, --init", 0.1, 143, False)
LONG = a_stop("an entrypoint script that prepares something and then does not hand over", 10.2, 137, False)
ANSWERED = a_stop("exec form", 5.2, 0, True, requests=[slow("answered", 5)])
CUT = a_stop("exec form, long request", 10.2, 137, False, requests=[slow("cut", 10.1), slow("answered", 3, 500)])
PATIENT = a_stop("stop -t 30", 19.5, 0, True, requests=[slow("answered", 19.4)], grace=30)
DRAINED = a_stop("drained", 2.5, 0, True, requests=[slow("cut", 2.1), slow("answered", 2.1, 500)], drain=2)
TOO_LATE = a_stop("too late", 10.2, 137, False, requests=[slow("cut", 10.1)], drain=15.5)
NEVER = a_stop("an hour", 0.5, 0, True, drain=3600, grace=1800)

CASES = {
    "one": [EXEC],
    "two": [EXEC, SHELL],
    "all at once": [EXEC, INIT],
    "ten": [EXEC, SHELL, NONE, INIT, LONG] * 2,
    "in flight": [ANSWERED, CUT],
    "different grace periods": [ANSWERED, CUT, PATIENT],
    "drain timeouts": [DRAINED, TOO_LATE, SHELL],
    "all that there is": [EXEC, ANSWERED, DRAINED, TOO_LATE, PATIENT],
    "limits beyond the axis": [NEVER, EXEC],
    "a grace period of 0": [a_stop("killed", 0.1, 137, False, grace=0)],
    "a short grace period": [
        a_stop("exec form", 0.4, 0, True, grace=1),
        a_stop("shell form", 1.3, 137, False, grace=1),
    ],
}


def test_the_text_in_its_place_tells_categories_and_no_measured_seconds():
    told = timeline([EXEC, SHELL, NONE, CUT]).alt
    assert told == (
        "Timeline of a stop. exec form: exit 0, shutdown ran; "
        "shell form: had to be killed, exit 137, shutdown did not run; "
        "no handler: had to be killed, exit 137; "
        "exec form, long request: had to be killed, exit 137, shutdown did not run, "
        "/slow?seconds=5 cut, /slow?seconds=5 answered 500. The grace period is 10 s."
    )


def test_the_text_in_its_place_tells_the_limits_of_each():
    assert timeline([DRAINED, PATIENT]).alt == (
        "Timeline of a stop. drained: grace period 10 s, drain timeout 2 s, exit 0, shutdown ran, "
        "/slow?seconds=5 cut, /slow?seconds=5 answered 500; "
        "stop -t 30: grace period 30 s, exit 0, shutdown ran, /slow?seconds=5 answered."
    )


def test_the_text_does_not_depend_on_seconds():
    slower = a_stop("exec form", 3.7, 0, True)
    assert timeline([slower]).alt == timeline([EXEC]).alt


@pytest.mark.parametrize("case", CASES)
def test_every_text_is_on_the_card_and_on_no_other(case):
    figure = timeline(CASES[case]).figure
    figure.draw_without_rendering()
    card = figure.bbox
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text()
    ]
    assert len(boxes) > 3
    for text, box in boxes:
        assert card.x0 <= box.x0, text
        assert box.x1 <= card.x1, text
        assert card.y0 <= box.y0, text
        assert box.y1 <= card.y1, text
    for (text, box), (other, other_box) in itertools.combinations(boxes, 2):
        assert not box.overlaps(other_box), f"{text!r} lies on {other!r}"


def shown(stops):
    return [text.get_text() for text in timeline(stops).figure.findobj(Text)]


def test_what_happened_is_written_beside_each_lane():
    texts = shown([EXEC, CUT])
    for text in ["exec form", "exit 0, shutdown ran", "exit 137, no shutdown", "cut", "answered 500"]:
        assert text in texts


def test_the_legend_explains_what_is_drawn_and_nothing_else():
    assert {"lifespan shutdown ran", "ended by itself"} <= set(shown([EXEC]))
    assert not {"killed (SIGKILL)", "request lost", "request answered"} & set(shown([EXEC]))
    assert {"killed (SIGKILL)", "request lost", "request answered"} <= set(shown([CUT, ANSWERED]))
    assert "drain timeout" in shown([DRAINED, EXEC])
    assert "drain timeout" not in shown([CUT, EXEC])


def marks(stops, kind):
    """How many lanes and requests have a mark: one more is the legend's."""
    shape = _MARKS[kind].shape
    drawn = sum(line.get_marker() == shape for line in timeline(stops).figure.findobj(Line2D))
    return max(drawn - 1, 0)


def test_each_mark_has_a_shape_of_its_own():
    assert len({mark.shape for mark in _MARKS.values()}) == len(_MARKS)


def test_an_answer_that_is_an_error_has_a_mark_of_its_own():
    assert [marks([CUT], kind) for kind in ("answered", "error", "lost")] == [0, 1, 1]
    assert [marks([ANSWERED], kind) for kind in ("answered", "error", "lost")] == [1, 0, 0]
    assert "request answered" not in shown([CUT])
    assert "request answered with an error" in shown([CUT])


def test_a_drain_timeout_is_marked_in_its_lane_also_after_the_last_event():
    assert marks([DRAINED, TOO_LATE, SHELL], "drain") == 2


def test_a_grace_period_that_nobody_needed_is_not_drawn():
    assert "end of the grace period" in shown([SHELL])
    assert "end of the grace period" not in shown([EXEC])


def test_the_ends_of_different_grace_periods_are_drawn_also_after_the_last_event():
    stops = [ANSWERED, CUT, PATIENT]
    [axes] = timeline(stops).figure.axes
    ends = [line.get_xdata()[0] for line in axes.lines if line.is_dashed()][: len(stops)]
    ticks = {text.get_text(): text.get_position()[0] for text in axes.texts}
    assert ends == pytest.approx([ticks["10 s"], ticks["10 s"], ticks["30 s"]])


def test_limits_far_beyond_all_that_happened_are_notes():
    texts = shown([NEVER, EXEC])
    assert {"grace period 1800 s →", "drain timeout 3600 s →", "grace period 10 s →"} <= set(texts)
    assert not {"end of the grace period", "drain timeout"} & set(texts)


def test_the_signal_is_named_where_it_is_the_same_for_all():
    quit_ = Stop("nginx", "", 0.3, 0, False, None, 10, (Event(0, "SIGQUIT"), Event(0.3, "exit")))
    assert "SIGQUIT" in shown([quit_])
    assert "stop signal" in shown([quit_, EXEC])


def test_a_name_that_is_too_long_ends_with_an_ellipsis():
    assert any(re.fullmatch(r"an entrypoint script.+…", text) for text in shown([LONG]))
