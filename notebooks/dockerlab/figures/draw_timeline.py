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
LONGEST_NAME = 250
DASHES = (3, 3)

GRACE = "end of the grace period"


def timeline(stops: Sequence[Stop]) -> Picture:
    """Draw each stop as a lane, from the stop signal to the end of the container, with its requests in flight below it.

    Args:
        stops: at least one, in the order in which they are drawn, from top to bottom.

    Raises:
        LabError: there is no stop.
    """
    if not stops:
        raise LabError("There is no stop to draw.", "Give at least one: timeline([stop(service)]).")
    bottom = HEAD + sum(LANE + REQUEST * len(stop.requests) for stop in stops)
    height = bottom + AXIS + LEGEND
    canvas = Canvas(height)

    names = [_shortened(name) for stop in stops for name in (stop.name, *(request.path for request in stop.requests))]
    outcomes = [text for stop in stops for text in (_outcome(stop), *(request.outcome for request in stop.requests))]
    scale = _TimeScale(
        stops,
        left=MARGIN + max(map(_width, names)) + GAP,
        right=WIDTH - MARGIN - max(map(_width, outcomes)) - GAP,
    )
    _draw_axis(canvas, scale, stops, HEAD, bottom)
    top = HEAD
    for number, stop in enumerate(stops):
        if number:
            canvas.line([MARGIN, WIDTH - MARGIN], [top, top], colors.EDGE, above=1)
        _draw_grace(canvas, scale, stop, top)
        _draw_stop(canvas, scale, stop, top + LANE / 2 + 2)
        top += LANE
        for request in stop.requests:
            _draw_request(canvas, scale, request, top + REQUEST / 2 - 4)
            top += REQUEST
    _draw_legend(canvas, stops, height - LEGEND / 2 - 2)
    return canvas.picture(f"Timeline of a stop. {'; '.join(map(_alt, stops))}.")


class _TimeScale:
    """Where on the card a moment is.

    Attributes:
        left, right: between which pixels.
        first, last: between which seconds, from the stop signal.
    """

    def __init__(self, stops: Sequence[Stop], left: float, right: float) -> None:
        requests = [request for stop in stops for request in stop.requests]
        self.left, self.right = left, right
        self.first = min([0.0, *(request.started_seconds for request in requests)])
        ends = [request.started_seconds + request.seconds for request in requests]
        self.last = max([1.0, *(stop.seconds for stop in stops), *ends])

    def x(self, seconds: float) -> float:
        return self.left + (seconds - self.first) / (self.last - self.first) * (self.right - self.left)

    @property
    def ticks(self) -> list[float]:
        step = next(step for step in (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if self.last / step <= 8)
        return [number * step for number in range(int(self.last / step) + 1)]


def _draw_axis(canvas: Canvas, scale: _TimeScale, stops: Sequence[Stop], top: float, bottom: float) -> None:
    for seconds in scale.ticks:
        x = scale.x(seconds)
        canvas.line([x, x], [top, bottom], colors.EDGE, above=0)
        canvas.text(x, bottom + 8, f"{seconds:g} s", SMALL, colors.MUTED, ha="center", va="top")
    canvas.line([scale.x(0), scale.x(0)], [top - 8, bottom], colors.INK, 1.5)
    signals = {stop.events[0].what for stop in stops}
    titles = [(0, signals.pop() if len(signals) == 1 else "stop signal")]
    if (grace := _common_grace(stops)) and grace <= scale.last:
        titles.append((grace, GRACE))
    for seconds, title in titles:
        canvas.text(scale.x(seconds), top - 13, title, SMALL, ha="center", va="bottom")


def _draw_grace(canvas: Canvas, scale: _TimeScale, stop: Stop, top: float) -> None:
    if stop.grace_seconds <= scale.last:
        x = scale.x(stop.grace_seconds)
        bottom = top + LANE + REQUEST * len(stop.requests)
        canvas.line([x, x], [top, bottom], colors.RED, 1.5, dashes=DASHES)


def _draw_stop(canvas: Canvas, scale: _TimeScale, stop: Stop, y: float) -> None:
    canvas.text(MARGIN, y, _shortened(stop.name), weight="bold")
    x = scale.x(_end(stop))
    canvas.line([scale.x(0), x], [y, y], colors.BLUE, 9, above=3, butt=True)
    _mark(canvas, x, y, "killed" if stop.killed else "ended")
    for event in stop.events:
        if event.what == "shutdown":
            _mark(canvas, scale.x(event.seconds), y - 12, "shutdown")
    canvas.text(scale.right + GAP, y, _outcome(stop), weight="bold")


def _draw_request(canvas: Canvas, scale: _TimeScale, request: Request, y: float) -> None:
    canvas.text(MARGIN, y, _shortened(request.path), color=colors.MUTED)
    start, end = scale.x(request.started_seconds), scale.x(request.started_seconds + request.seconds)
    canvas.line([start, end], [y, y], colors.ORANGE, 4, above=3, butt=True)
    if request.fate == "answered":
        _mark(canvas, end - 5, y, "answered")  # the tip of the arrow is the end
    else:
        _mark(canvas, end, y, "lost")
    canvas.text(scale.right + GAP, y, request.outcome)


class _Mark(NamedTuple):
    """What a mark means, and how it is drawn: another shape each, not another colour alone."""

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
    "answered": _Mark("request answered", ">", 11, colors.ORANGE),
    "lost": _Mark("request lost", "x", 9, colors.INK, 3),
}


def _mark(canvas: Canvas, x: float, y: float, kind: str) -> None:
    mark = _MARKS[kind]
    canvas.axes.plot(
        [x], [y], ls="", marker=mark.shape, ms=points(mark.size), color=mark.color, mec=mark.edge or mark.color,
        mew=mark.edge_width and points(mark.edge_width), zorder=5,
    )  # fmt: skip


def _draw_legend(canvas: Canvas, stops: Sequence[Stop], y: float) -> None:
    drawn = {"killed" if stop.killed else "ended" for stop in stops}
    drawn |= {event.what for stop in stops for event in stop.events}
    drawn |= {"answered" if request.fate == "answered" else "lost" for stop in stops for request in stop.requests}
    x: float = MARGIN + 6
    for kind, mark in _MARKS.items():
        if kind in drawn:
            _mark(canvas, x, y, kind)
            canvas.text(x + 13, y, mark.meaning, SMALL, colors.MUTED, va="center")
            x += 13 + _width(mark.meaning, SMALL, "normal") + GAP
    if _common_grace(stops) is None:
        canvas.line([x, x], [y - 8, y + 8], colors.RED, 1.5, dashes=DASHES)
        canvas.text(x + 10, y, GRACE, SMALL, colors.MUTED, va="center")


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


def _alt(stop: Stop) -> str:
    parts = ["had to be killed"] if stop.killed else []
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
