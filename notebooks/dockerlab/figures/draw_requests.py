"""Requests over time: answered, by which version, and lost; with what was done to the service meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..records import Event, Request, Rollout, Traffic
from . import colors
from .picture import MARGIN, SMALL, WIDTH, Canvas, Picture, text_width

HEAD = 62
"""Above the bars of a panel: its title, and the names of the events."""
UP = 84
"""The height of the bars upwards: requests that were answered."""
DOWN = 84
FOOT = 34
LEGEND = 40
LEFT = 88
BIN_SECONDS = 0.25

# Each version has another color and another pattern.
_STYLES = (
    (colors.BLUE, ""),
    (colors.ORANGE, "//"),
    (colors.GREEN, ".."),
    (colors.PURPLE, "--"),
    (colors.SKY, "\\\\"),
    (colors.OLIVE, "xx"),
)
_LOST = (colors.RED, "xxxx")


def requests(
    panels: Mapping[str, Traffic | tuple[Traffic, Sequence[Event]]] | Sequence[Rollout], *, tell_losses: bool = True
) -> Picture:
    """Draw requests over time, a panel for each change: answered ones upwards, lost ones downwards.

    A request is drawn at the moment at which it was sent. One that was answered with an error counts as lost.

    Args:
        panels: rollouts; or traffic, alone or with events in seconds from its start, by the title of its panel.
        tell_losses: whether the picture's words say if requests were lost; not where that differs from run to run.
    """
    drawn: dict[str, tuple[Traffic, Sequence[Event]]]
    if isinstance(panels, Mapping):
        drawn = {title: (panel, ()) if isinstance(panel, Traffic) else panel for title, panel in panels.items()}
    else:
        drawn = {rollout.name: (rollout.traffic, rollout.events) for rollout in panels}
    versions = dict.fromkeys(version for traffic, _ in drawn.values() for version in sorted(traffic.answered_by()))
    styles = {version: _STYLES[number % len(_STYLES)] for number, version in enumerate(versions)}
    sent = [_sent(request) for traffic, _ in drawn.values() for request in traffic.requests]
    scale = _Scale(
        longest=max([1.0, *sent, *(event.seconds for _, events in drawn.values() for event in events)]),
        most=max(max(Counter(map(_bin, traffic.requests)).values(), default=1) for traffic, _ in drawn.values()),
    )
    heights = [HEAD + UP + (DOWN if traffic.failed else 0) + FOOT for traffic, _ in drawn.values()]
    canvas = Canvas(sum(heights) + LEGEND)
    top = 0.0
    for (title, (traffic, events)), height in zip(drawn.items(), heights, strict=True):
        if top:
            canvas.line([MARGIN, WIDTH - MARGIN], [top, top], colors.EDGE)
        canvas.text(MARGIN, top + 18, title, weight="bold")
        bottom = top + height - FOOT
        _bars(canvas, traffic, styles, top + HEAD + UP, scale)
        _axis(canvas, bottom, scale)
        _events(canvas, events, top, bottom, scale)
        top += height
    _legend(canvas, styles, any(traffic.failed for traffic, _ in drawn.values()), top + LEGEND / 2 - 6)
    return canvas.picture(_alt(drawn, tell_losses))


def _sent(request: Request) -> float:
    return request.started_seconds + request.late_seconds


def _bin(request: Request) -> int:
    return int(_sent(request) / BIN_SECONDS)


@dataclass(frozen=True)
class _Scale:
    """Of all panels.

    Attributes:
        longest: seconds that are drawn.
        most: requests of the highest bar.
    """

    longest: float
    most: int

    def x(self, seconds: float) -> float:
        """Where on the card a moment is."""
        return LEFT + seconds * (WIDTH - MARGIN - LEFT) / (self.longest + BIN_SECONDS)


def _bars(canvas: Canvas, traffic: Traffic, styles: Mapping[str, tuple[str, str]], zero: float, scale: _Scale) -> None:
    """Draw the requests of a panel, up and down from `zero`."""
    bins: dict[int, Counter[str | None]] = {}
    for request in traffic.requests:
        answered_by = request.version if request.outcome == "answered" else None
        bins.setdefault(_bin(request), Counter())[answered_by] += 1
    width = scale.x(BIN_SECONDS) - LEFT
    for number, counts in bins.items():
        x, y = LEFT + number * width, zero
        for version, style in styles.items():
            if part := counts[version] / scale.most * UP:
                y -= part
                canvas.bar(x, y, width, part, *style, line=0, above=3)
        if counts[None]:
            canvas.bar(x, zero, width, counts[None] / scale.most * DOWN, *_LOST, line=0, above=3)
    canvas.line([LEFT, WIDTH - MARGIN], [zero, zero], colors.INK, 1.2, above=4)
    canvas.text(MARGIN, zero - UP / 2, "answered", SMALL, colors.MUTED)
    if traffic.failed:
        canvas.text(MARGIN, zero + DOWN / 2, "lost", SMALL, colors.MUTED)


def _axis(canvas: Canvas, bottom: float, scale: _Scale) -> None:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if scale.longest / step <= 10)
    for seconds in range(0, int(scale.longest) + 1, step):
        x = scale.x(seconds)
        canvas.line([x, x], [bottom, bottom + 4], colors.MUTED)
        canvas.text(x, bottom + 7, f"{seconds} s", SMALL, colors.MUTED, ha="center", va="top")


def _events(canvas: Canvas, events: Sequence[Event], top: float, bottom: float, scale: _Scale) -> None:
    """A line for each event, its name above it: beside the line where there is room, else to its left."""
    taken = 0.0
    for event in events:
        x = scale.x(event.seconds)
        y = top + HEAD - 10
        canvas.line([x, x], [y + 8, bottom], colors.INK, 1.2, dashes=(4, 3), above=5)
        width = text_width(event.what, SMALL)
        start = max(min(x - width / 2, WIDTH - MARGIN - width), LEFT)
        if start < taken:  # the one before is in the way: a line higher
            y -= 15
        else:
            taken = start + width + 8
        canvas.text(start, y, event.what, SMALL)


def _legend(canvas: Canvas, styles: Mapping[str, tuple[str, str]], lost: bool, y: float) -> None:
    by = "answered by version" if len(styles) <= 3 else "version"
    entries = [(f"{by} {version}" if version else "answered", style) for version, style in styles.items()]
    x: float = LEFT
    for text, style in entries + ([("lost", _LOST)] if lost else []):
        canvas.bar(x, y - 7, 24, 14, *style, line=0, above=3)
        canvas.text(x + 32, y, text, SMALL)
        x += 32 + text_width(text, SMALL) + 24


def _alt(drawn: Mapping[str, tuple[Traffic, Sequence[Event]]], tell_losses: bool) -> str:
    """The picture in words, without numbers: those differ from run to run."""
    panels = []
    for title, (traffic, events) in drawn.items():
        by = [f"version {version}" for version in traffic.answered_by() if version]
        parts = [f"answered by {', then '.join(by)}"] if by else []
        if tell_losses:
            parts.append("some requests were lost" if traffic.failed else "no request was lost")
        if events:
            parts.append(f"meanwhile: {', '.join(event.what for event in events)}")
        panels.append(f"{title}: {'; '.join(parts)}")
    return f"Requests over time. {'. '.join(panels)}."
