"""The timeline of stops: who heard the signal, who was killed, and what became of the requests in flight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..errors import LabError
from ..records import Request, Stop
from . import colors
from .picture import GAP, MARGIN, SMALL, TEXT, WIDTH, Canvas, Picture, ink_width, points, shortened

HEAD = 44
LANE = 34
REQUEST = 24
AXIS = 36
LEGEND = 36
LEGEND_LINE = 24
KEY = 13
"""From the middle of a mark in the legend to its meaning."""
NOTE_LINE = 14
LONGEST_NAME = 250
DASHES = (3, 3)
DOTS = (1, 2)
REACH = 2
"""How many times as long as what happened the axis may be, to show limits that lie beyond it."""

GRACE = "end of the grace period"


def timeline(stops: Sequence[Stop]) -> Picture:
    """Draw each stop as a lane, from the stop signal to the end of the container, with its requests in flight below it.

    Each lane shows the end of its grace period, and its drain timeout where it has one. Those that are much later than
    all that happened are notes beside the lane; such a grace period that is the same for all is left out.

    Args:
        stops: at least one, in the order in which they are drawn, from top to bottom.

    Raises:
        LabError: there is no stop.
    """
    if not stops:
        raise LabError("There is no stop to draw.", "Give at least one: timeline([stop(service)]).")
    names = [_shortened(name) for stop in stops for name in (stop.name, *(request.path for request in stop.requests))]
    outcomes = [text for stop in stops for text in (_outcome(stop), *(request.outcome for request in stop.requests))]
    scale = _TimeScale(
        stops,
        left=MARGIN + max(map(_width, names)) + GAP,
        right=WIDTH - MARGIN - max(map(_width, outcomes)) - GAP,
    )
    title_grace = _is_grace_titled(stops, scale)
    legend = _legend_lines(stops, scale, with_grace=not title_grace)

    bottom = HEAD + sum(LANE + REQUEST * len(stop.requests) for stop in stops)
    canvas = Canvas(bottom + AXIS + LEGEND + LEGEND_LINE * (len(legend) - 1))
    _draw_axis(canvas, scale, stops, HEAD, bottom, title_grace=title_grace)
    top = HEAD
    for number, stop in enumerate(stops):
        if number:
            canvas.line([MARGIN, WIDTH - MARGIN], [top, top], colors.EDGE, above=1)
        _draw_limits(canvas, scale, stop, top)
        _draw_stop(canvas, scale, stop, top + LANE / 2 + 2)
        top += LANE
        for request in stop.requests:
            _draw_request(canvas, scale, request, top + REQUEST / 2 - 4)
            top += REQUEST
    for number, kinds in enumerate(legend):
        _draw_legend(canvas, kinds, bottom + AXIS + LEGEND / 2 - 2 + LEGEND_LINE * number)
    return canvas.picture(_alt(stops))


class _TimeScale:
    """Where on the card a moment is.

    Attributes:
        left, right: between which pixels.
        first, last: between which seconds, from the stop signal.
        outcomes: from which pixel on the outcomes stand, to the right of the notes.
    """

    def __init__(self, stops: Sequence[Stop], left: float, right: float) -> None:
        requests = [request for stop in stops for request in stop.requests]
        self.first = min([0.0, *(request.started_seconds for request in requests)])
        ends = [request.started_seconds + request.seconds for request in requests]
        happened = max([1.0, *(stop.seconds for stop in stops), *ends])
        drains = [stop.drain_seconds for stop in stops if stop.drain_seconds is not None]
        limits = [*(stop.grace_seconds for stop in stops), *drains]
        self.last = max([happened, *(limit for limit in limits if limit <= REACH * happened)])
        self._tell_grace = _common_grace(stops) is None
        notes = [_width(note, SMALL, "normal") for stop in stops for note in self.notes(stop)]
        self.left, self.right = left, right - (max(notes) + GAP / 2 if notes else 0)
        self.outcomes = right + GAP

    def notes(self, stop: Stop) -> list[str]:
        """What lies beyond the axis."""
        grace = stop.grace_seconds if self._tell_grace else None
        limits = [("grace period", grace), ("drain timeout", stop.drain_seconds)]
        return [f"{name} {end:g} s →" for name, end in limits if end is not None and end > self.last]

    def x(self, seconds: float) -> float:
        return self.left + (seconds - self.first) / (self.last - self.first) * (self.right - self.left)

    @property
    def ticks(self) -> list[float]:
        step = next(step for step in (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if self.last / step <= 8)
        return [number * step for number in range(int(self.last / step) + 1)]


def _draw_axis(
    canvas: Canvas, scale: _TimeScale, stops: Sequence[Stop], top: float, bottom: float, *, title_grace: bool
) -> None:
    for seconds in scale.ticks:
        x = scale.x(seconds)
        canvas.line([x, x], [top, bottom], colors.EDGE, above=0)
        canvas.text(x, bottom + 8, f"{seconds:g} s", SMALL, colors.MUTED, ha="center", va="top")
    canvas.line([scale.x(0), scale.x(0)], [top - 8, bottom], colors.INK, 1.5)
    titles = [(0, _signal(stops))] + ([(stops[0].grace_seconds, GRACE)] if title_grace else [])
    for seconds, title in titles:
        canvas.text(scale.x(seconds), top - 13, title, SMALL, ha="center", va="bottom")


def _draw_limits(canvas: Canvas, scale: _TimeScale, stop: Stop, top: float) -> None:
    """Draw the ends of the grace period and of the drain timeout, across the lane and its requests."""
    ends = [top, top + LANE + REQUEST * len(stop.requests)]
    if stop.grace_seconds <= scale.last:
        x = scale.x(stop.grace_seconds)
        canvas.line([x, x], ends, colors.RED, 1.5, dashes=DASHES)
    if stop.drain_seconds is not None and stop.drain_seconds <= scale.last:
        x = scale.x(stop.drain_seconds)
        canvas.line([x, x], ends, colors.PURPLE, 1.5, dashes=DOTS)
        _mark(canvas, x, top + LANE - 5, "drain")
    notes = scale.notes(stop)
    for number, note in enumerate(notes):
        y = top + LANE / 2 + NOTE_LINE * (number - (len(notes) - 1) / 2)
        canvas.text(scale.right + GAP / 2, y, note, SMALL, colors.MUTED)


def _draw_stop(canvas: Canvas, scale: _TimeScale, stop: Stop, y: float) -> None:
    canvas.text(MARGIN, y, _shortened(stop.name), weight="bold")
    x = scale.x(_end(stop))
    canvas.line([scale.x(0), x], [y, y], colors.BLUE, 9, above=3, butt=True)
    _mark(canvas, x, y, "killed" if stop.killed else "ended")
    for event in stop.events:
        if event.what == "shutdown":
            _mark(canvas, scale.x(event.seconds), y - 12, "shutdown")
    canvas.text(scale.outcomes, y, _outcome(stop), weight="bold")


def _draw_request(canvas: Canvas, scale: _TimeScale, request: Request, y: float) -> None:
    canvas.text(MARGIN, y, _shortened(request.path), color=colors.MUTED)
    start, end = scale.x(request.started_seconds), scale.x(request.started_seconds + request.seconds)
    kind = _kind(request)
    middle = end - 5 if kind == "answered" else end  # the tip of the arrow is the end
    canvas.line([start, middle], [y, y], colors.ORANGE, 4, above=3, butt=True)
    _mark(canvas, middle, y, kind)
    canvas.text(scale.outcomes, y, request.outcome)


class _Mark(NamedTuple):
    """What a mark means, and how it is drawn: another shape each, not another color alone."""

    meaning: str
    shape: str
    size: float
    color: str
    edge_width: float | None = None
    edge: str | None = None


_MARKS = {
    "shutdown": _Mark("lifespan shutdown ran", "D", 9, colors.GREEN),
    "ended": _Mark("ended by itself", "|", 19, colors.BLUE, 4),
    "killed": _Mark("killed (SIGKILL)", "X", 15, colors.RED, 1, colors.CARD),
    "drain": _Mark("drain timeout", "^", 9, colors.PURPLE),
    "answered": _Mark("request answered", ">", 11, colors.ORANGE),
    "error": _Mark("request answered with an error", "s", 8, colors.CARD, 2.5, colors.INK),
    "lost": _Mark("request lost", "x", 9, colors.INK, 3),
}


def _mark(canvas: Canvas, x: float, y: float, kind: str) -> None:
    mark = _MARKS[kind]
    canvas.axes.plot(
        [x], [y], ls="", marker=mark.shape, ms=points(mark.size), color=mark.color, mec=mark.edge or mark.color,
        mew=mark.edge_width and points(mark.edge_width), zorder=5,
    )  # fmt: skip


def _kind(request: Request) -> str:
    if request.fate != "answered":
        return "lost"
    return "answered" if request.outcome == "answered" else "error"


# --- legend ----------------------------------------------------------------------------------------------------------


def _legend_lines(stops: Sequence[Stop], scale: _TimeScale, *, with_grace: bool) -> list[list[str]]:
    """The kinds of marks that are drawn, in as many lines as they need."""
    drawn = {"killed" if stop.killed else "ended" for stop in stops}
    drawn |= {event.what for stop in stops for event in stop.events}
    drawn |= {_kind(request) for stop in stops for request in stop.requests}
    drawn |= {"drain" for stop in stops if stop.drain_seconds is not None and stop.drain_seconds <= scale.last}
    drawn |= {"grace" for stop in stops if with_grace and stop.grace_seconds <= scale.last}
    lines: list[list[str]] = [[]]
    for kind in (*_MARKS, "grace"):
        if kind in drawn:
            if sum(map(_entry_width, [*lines[-1], kind])) > WIDTH - 2 * MARGIN + GAP:
                lines.append([])
            lines[-1].append(kind)
    return lines


def _draw_legend(canvas: Canvas, kinds: Sequence[str], y: float) -> None:
    x: float = MARGIN + 6
    for kind in kinds:
        if kind == "grace":
            canvas.line([x, x], [y - 8, y + 8], colors.RED, 1.5, dashes=DASHES)
        else:
            _mark(canvas, x, y, kind)
        canvas.text(x + KEY, y, _meaning(kind), SMALL, colors.MUTED, va="center")
        x += _entry_width(kind)


def _entry_width(kind: str) -> float:
    return KEY + _width(_meaning(kind), SMALL, "normal") + GAP


def _meaning(kind: str) -> str:
    return GRACE if kind == "grace" else _MARKS[kind].meaning


# --- words -----------------------------------------------------------------------------------------------------------


def _signal(stops: Sequence[Stop]) -> str:
    signals = {stop.events[0].what for stop in stops}
    return signals.pop() if len(signals) == 1 else "stop signal"


def _is_grace_titled(stops: Sequence[Stop], scale: _TimeScale) -> bool:
    """Whether the end of a grace period is named above the lanes: it is the same for all, and there is room."""
    grace = _common_grace(stops)
    if grace is None or grace > scale.last:
        return False
    widths = [_width(title, SMALL, "normal") for title in (_signal(stops), GRACE)]
    return scale.x(grace) - scale.x(0) > sum(widths) / 2 + GAP / 2


def _common_grace(stops: Sequence[Stop]) -> int | None:
    """The grace period of all, or None where they differ."""
    graces = {stop.grace_seconds for stop in stops}
    return graces.pop() if len(graces) == 1 else None


def _end(stop: Stop) -> float:
    """Where the lane ends: where the process did, of itself or by SIGKILL."""
    return next((event.seconds for event in stop.events if event.what == "SIGKILL"), stop.seconds)


def _outcome(stop: Stop) -> str:
    if stop.shutdown_ran is None:
        return f"exit {stop.exit_code}"
    return f"exit {stop.exit_code}, {'shutdown ran' if stop.shutdown_ran else 'no shutdown'}"


def _alt(stops: Sequence[Stop]) -> str:
    """The picture in words: limits as they were set, and no seconds that were measured."""
    grace = _common_grace(stops)
    lanes = "; ".join(_lane_alt(stop, tell_grace=grace is None) for stop in stops)
    return f"Timeline of a stop. {lanes}." + ("" if grace is None else f" The grace period is {grace} s.")


def _lane_alt(stop: Stop, *, tell_grace: bool) -> str:
    parts = [f"grace period {stop.grace_seconds} s"] if tell_grace else []
    if stop.drain_seconds is not None:
        parts.append(f"drain timeout {stop.drain_seconds:g} s")
    if stop.killed:
        parts.append("had to be killed")
    parts.append(f"exit {stop.exit_code}")
    if stop.shutdown_ran is not None:
        parts.append("shutdown ran" if stop.shutdown_ran else "shutdown did not run")
    parts += [f"{request.path} {request.outcome}" for request in stop.requests]
    return f"{stop.name}: {', '.join(parts)}"


# --- text ------------------------------------------------------------------------------------------------------------


def _width(text: str, size: float = TEXT, weight: str = "bold") -> float:
    """How wide a text is; drawn on a grid of pixels, it is a little wider than its outline."""
    return 1.03 * ink_width(text, size, weight=weight)


def _shortened(text: str) -> str:
    """A text that fits beside the lanes."""
    return shortened(text, lambda part: _width(part) <= LONGEST_NAME)
