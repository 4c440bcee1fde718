"""The timeline of stops: who heard the signal, who was killed, and what became of the requests in flight."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from ..errors import LabError
from ..records import Request, Stop
from .picture import (
    BLUE,
    CARD,
    EDGE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RED,
    WIDTH,
    Picture,
    card,
    ink_width,
    pixel_axes,
    points,
    shortened,
)

# All lengths are CSS pixels.
MARGIN = 20
GAP = 18
HEAD = 44
LANE = 34
REQUEST = 24
AXIS = 36
LEGEND = 36
TEXT = 13
SMALL = 12
LONGEST_NAME = 250
DASHES = (0, (3, 3))

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
    axes = pixel_axes(card(height))

    names = [_shortened(name) for stop in stops for name in (stop.name, *(request.path for request in stop.requests))]
    outcomes = [text for stop in stops for text in (_outcome(stop), *(request.outcome for request in stop.requests))]
    scale = _Scale(
        stops,
        left=MARGIN + max(map(_width, names)) + GAP,
        right=WIDTH - MARGIN - max(map(_width, outcomes)) - GAP,
    )
    _draw_axis(axes, scale, stops, HEAD, bottom)
    top = HEAD
    for number, stop in enumerate(stops):
        if number:
            axes.plot([MARGIN, WIDTH - MARGIN], [top, top], color=EDGE, lw=points(1), zorder=1)
        _draw_grace(axes, scale, stop, top)
        _draw_stop(axes, scale, stop, top + LANE / 2 + 2)
        top += LANE
        for request in stop.requests:
            _draw_request(axes, scale, request, top + REQUEST / 2 - 4)
            top += REQUEST
    _draw_legend(axes, stops, height - LEGEND / 2 - 2)
    return Picture(axes.figure, f"Timeline of a stop. {'; '.join(map(_told, stops))}.")


class _Scale:
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


def _draw_axis(axes: Axes, scale: _Scale, stops: Sequence[Stop], top: float, bottom: float) -> None:
    for seconds in scale.ticks:
        x = scale.x(seconds)
        axes.plot([x, x], [top, bottom], color=EDGE, lw=points(1), zorder=0)
        axes.text(x, bottom + 8, f"{seconds:g} s", ha="center", va="top", fontsize=points(SMALL), color=MUTED)
    axes.plot([scale.x(0), scale.x(0)], [top - 8, bottom], color=INK, lw=points(1.5), zorder=2)
    signals = {stop.events[0].what for stop in stops}
    titles = [(0, signals.pop() if len(signals) == 1 else "stop signal")]
    if (grace := _common_grace(stops)) and grace <= scale.last:
        titles.append((grace, GRACE))
    for seconds, title in titles:
        axes.text(scale.x(seconds), top - 13, title, ha="center", va="bottom", fontsize=points(SMALL), color=INK)


def _draw_grace(axes: Axes, scale: _Scale, stop: Stop, top: float) -> None:
    if stop.grace_seconds <= scale.last:
        x = scale.x(stop.grace_seconds)
        bottom = top + LANE + REQUEST * len(stop.requests)
        axes.plot([x, x], [top, bottom], color=RED, lw=points(1.5), ls=DASHES, zorder=2)


def _draw_stop(axes: Axes, scale: _Scale, stop: Stop, y: float) -> None:
    _write(axes, MARGIN, y, _shortened(stop.name), weight="bold")
    x = scale.x(_end(stop))
    axes.plot([scale.x(0), x], [y, y], color=BLUE, lw=points(9), solid_capstyle="butt", zorder=3)
    _mark(axes, x, y, "killed" if stop.killed else "ended")
    for event in stop.events:
        if event.what == "shutdown":
            _mark(axes, scale.x(event.seconds), y - 12, "shutdown")
    _write(axes, scale.right + GAP, y, _outcome(stop), weight="bold")


def _draw_request(axes: Axes, scale: _Scale, request: Request, y: float) -> None:
    _write(axes, MARGIN, y, _shortened(request.path), color=MUTED)
    start, end = scale.x(request.started_seconds), scale.x(request.started_seconds + request.seconds)
    axes.plot([start, end], [y, y], color=ORANGE, lw=points(4), solid_capstyle="butt", zorder=3)
    if request.fate == "answered":
        _mark(axes, end - 5, y, "answered")  # the tip of the arrow is the end
    else:
        _mark(axes, end, y, "lost")
    _write(axes, scale.right + GAP, y, request.outcome)


# What each mark means, and how it is drawn: another shape each, not another colour alone.
_MARKS = {
    "shutdown": ("lifespan shutdown ran", {"marker": "D", "ms": 9, "color": GREEN}),
    "ended": ("ended by itself", {"marker": "|", "ms": 19, "mew": 4, "color": BLUE}),
    "killed": ("killed (SIGKILL)", {"marker": "X", "ms": 15, "color": RED, "mec": CARD, "mew": 1}),
    "answered": ("request answered", {"marker": ">", "ms": 11, "color": ORANGE}),
    "lost": ("request lost", {"marker": "x", "ms": 9, "mew": 3, "color": INK}),
}


def _mark(axes: Axes, x: float, y: float, kind: str) -> None:
    style = {name: points(value) if name in ("ms", "mew") else value for name, value in _MARKS[kind][1].items()}
    axes.plot([x], [y], ls="", zorder=5, **style)


def _draw_legend(axes: Axes, stops: Sequence[Stop], y: float) -> None:
    drawn = {"killed" if stop.killed else "ended" for stop in stops}
    drawn |= {event.what for stop in stops for event in stop.events}
    drawn |= {"answered" if request.fate == "answered" else "lost" for stop in stops for request in stop.requests}
    x = MARGIN + 6
    for kind, (title, _) in _MARKS.items():
        if kind in drawn:
            _mark(axes, x, y, kind)
            axes.text(x + 13, y, title, va="center", fontsize=points(SMALL), color=MUTED)
            x += 13 + _width(title, SMALL, "normal") + GAP
    if _common_grace(stops) is None:
        axes.plot([x, x], [y - 8, y + 8], color=RED, lw=points(1.5), ls=DASHES)
        axes.text(x + 10, y, GRACE, va="center", fontsize=points(SMALL), color=MUTED)


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


def _told(stop: Stop) -> str:
    told = ["had to be killed"] if stop.killed else []
    told.append(f"exit {stop.exit_code}")
    if stop.shutdown_ran is not None:
        told.append("shutdown ran" if stop.shutdown_ran else "shutdown did not run")
    told += [f"{request.path} {request.outcome}" for request in stop.requests]
    return f"{stop.name}: {', '.join(told)}"


# --- text ------------------------------------------------------------------------------------------------------------


def _write(axes: Axes, x: float, y: float, text: str, color: str = INK, weight: str = "normal") -> None:
    axes.text(x, y, text, va="center_baseline", fontsize=points(TEXT), color=color, weight=weight)


def _width(text: str, size: float = TEXT, weight: str = "bold") -> float:
    """How wide a text is; drawn on a grid of pixels, it is a little wider than its outline."""
    return 1.03 * ink_width(text, size, weight=weight)


def _shortened(text: str) -> str:
    """A text that fits beside the lanes."""
    return shortened(text, lambda part: _width(part) <= LONGEST_NAME)
