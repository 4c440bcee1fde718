"""Requests over time: answered, by which version, and lost; with what was done to the service meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from ..records import Event, Request, Rollout, Traffic
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
    pixel_axes,
    points,
    text_width,
)

# All lengths are CSS pixels.
MARGIN = 20
HEAD = 62
"""Above the bars of a panel: its title, and the names of the events."""
UP = 84
"""The height of the bars upwards: requests that were answered."""
DOWN = 84
FOOT = 34
LEGEND = 40
LEFT = 88
TEXT = 13
SMALL = 12
BIN_SECONDS = 0.25

# Each version has another colour and another pattern.
_STYLES = ((BLUE, ""), (ORANGE, "//"), (GREEN, ".."), ("#cc79a7", "--"), ("#56b4e9", "\\\\"), ("#f0e442", "xx"))
_LOST = (RED, "xxxx")


def requests(
    panels: Mapping[str, Traffic | tuple[Traffic, Sequence[Event]]] | Sequence[Rollout], *, tell_losses: bool = True
) -> Picture:
    """Draw requests over time, a panel for each change: answered ones upwards, lost ones downwards.

    A request is drawn at the moment at which it was sent. One that was answered with an error counts as lost.

    Args:
        panels: rollouts; or traffic, alone or with events in seconds from its start, by the title of its panel.
        tell_losses: whether the picture's words say if requests were lost; not where that differs from run to run.
    """
    if isinstance(panels, Mapping):
        drawn = {
            title: (panel, ()) if isinstance(panel, Traffic) else (panel[0], tuple(panel[1]))
            for title, panel in panels.items()
        }
    else:
        drawn = {rollout.name: (rollout.traffic, rollout.events) for rollout in panels}
    versions = list(
        dict.fromkeys(version for traffic, _ in drawn.values() for version in sorted(traffic.answered_by()))
    )
    moments = [_sent(request) for traffic, _ in drawn.values() for request in traffic.requests]
    longest = max([1.0, *moments, *(event.seconds for _, events in drawn.values() for event in events)])
    heights = [HEAD + UP + (DOWN if traffic.failed else 0) + FOOT for traffic, _ in drawn.values()]
    axes = pixel_axes(card(sum(heights) + LEGEND))
    scale = (WIDTH - MARGIN - LEFT) / (longest + BIN_SECONDS)
    most = max(
        max(Counter(_bin(request) for request in traffic.requests).values(), default=1) for traffic, _ in drawn.values()
    )
    top = 0.0
    for (title, (traffic, events)), height in zip(drawn.items(), heights, strict=True):
        if top:
            axes.plot([MARGIN, WIDTH - MARGIN], [top, top], color=EDGE, lw=points(1))
        _panel(axes, title, traffic, events, versions, top, scale, most, longest)
        top += height
    _legend(axes, versions, any(traffic.failed for traffic, _ in drawn.values()), top + LEGEND / 2 - 6)
    return Picture(axes.figure, _told(drawn, tell_losses))


def _sent(request: Request) -> float:
    return request.started_seconds + request.late_seconds


def _bin(request: Request) -> int:
    return int(_sent(request) / BIN_SECONDS)


def _panel(
    axes: Axes,
    title: str,
    traffic: Traffic,
    events: Sequence[Event],
    versions: Sequence[str],
    top: float,
    scale: float,
    most: int,
    longest: float,
) -> None:
    zero = top + HEAD + UP
    bottom = zero + (DOWN if traffic.failed else 0)
    _write(axes, MARGIN, top + 18, title, weight="bold")
    width = BIN_SECONDS * scale
    bins: dict[int, Counter[str]] = {}
    for request in traffic.requests:
        lost = request.outcome != "answered"
        bins.setdefault(_bin(request), Counter())["" if lost else f"v{request.version}"] += 1
    for number, counts in bins.items():
        x = LEFT + number * width
        height = 0.0
        for version in versions:
            part = counts[f"v{version}"] / most * UP
            if part:
                _bar(axes, x, zero - height - part, width, part, *_style(versions, version))
                height += part
        if counts[""]:
            _bar(axes, x, zero, width, counts[""] / most * DOWN, *_LOST)
    axes.plot([LEFT, WIDTH - MARGIN], [zero, zero], color=INK, lw=points(1.2), zorder=4)
    _write(axes, MARGIN, zero - UP / 2, "answered", size=SMALL, color=MUTED)
    if traffic.failed:
        _write(axes, MARGIN, zero + DOWN / 2, "lost", size=SMALL, color=MUTED)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if longest / step <= 10)
    for number in range(int(longest / step) + 1):
        x = LEFT + number * step * scale
        axes.plot([x, x], [bottom, bottom + 4], color=MUTED, lw=points(1))
        axes.text(x, bottom + 7, f"{number * step} s", ha="center", va="top", fontsize=points(SMALL), color=MUTED)
    _events(axes, events, top, bottom, scale)


def _events(axes: Axes, events: Sequence[Event], top: float, bottom: float, scale: float) -> None:
    """A line for each event, its name above it: beside the line where there is room, else to its left."""
    taken = 0.0
    for event in events:
        x = LEFT + event.seconds * scale
        y = top + HEAD - 10
        axes.plot([x, x], [y + 8, bottom], color=INK, lw=points(1.2), ls=(0, (4, 3)), zorder=5)
        width = text_width(event.what, SMALL)
        start = max(min(x - width / 2, WIDTH - MARGIN - width), LEFT)
        if start < taken:  # the one before is in the way: a line higher
            y -= 15
        else:
            taken = start + width + 8
        _write(axes, start, y, event.what, size=SMALL)


def _bar(axes: Axes, x: float, y: float, width: float, height: float, color: str, hatch: str) -> None:
    axes.bar(x, height, width, bottom=y, align="edge", color=color, hatch=hatch, edgecolor=CARD, linewidth=0, zorder=3)


def _style(versions: Sequence[str], version: str) -> tuple[str, str]:
    return _STYLES[versions.index(version) % len(_STYLES)]


def _legend(axes: Axes, versions: Sequence[str], lost: bool, y: float) -> None:
    x = LEFT
    entries = [
        (f"answered by version {version}" if version else "answered", _style(versions, version)) for version in versions
    ]
    if len(entries) > 3:
        entries = [(text.removeprefix("answered by "), style) for text, style in entries]
    for text, style in entries + ([("lost", _LOST)] if lost else []):
        _bar(axes, x, y - 7, 24, 14, *style)
        _write(axes, x + 32, y, text, size=SMALL)
        x += 32 + text_width(text, SMALL) + 24


def _write(
    axes: Axes, x: float, y: float, text: str, *, size: float = TEXT, color: str = INK, weight: str = "normal"
) -> None:
    axes.text(x, y, text, va="center_baseline", fontsize=points(size), color=color, weight=weight, zorder=6)


def _told(drawn: Mapping[str, tuple[Traffic, Sequence[Event]]], tell_losses: bool) -> str:
    """The picture in words, without numbers: those differ from run to run."""
    told = []
    for title, (traffic, events) in drawn.items():
        by = [f"version {version}" for version in traffic.answered_by() if version]
        parts = [f"answered by {', then '.join(by)}"] if by else []
        if tell_losses:
            parts.append("some requests were lost" if traffic.failed else "no request was lost")
        if events:
            parts.append(f"meanwhile: {', '.join(event.what for event in events)}")
        told.append(f"{title}: {'; '.join(parts)}")
    return f"Requests over time. {'. '.join(told)}."
