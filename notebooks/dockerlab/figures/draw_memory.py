"""Memory of a container's processes: a bar for each number of workers, a part of it for each process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from .picture import BLUE, CARD, EDGE, INK, MUTED, WIDTH, Picture, card, pixel_axes, points, text_width

# All lengths are CSS pixels.
MARGIN = 20
GAP = 18
HEAD = 44
LANE = 44
BAR = 26
TEXT = 13
SMALL = 12


def memory(measured: Mapping[str, Sequence[int]]) -> Picture:
    """Draw what the processes of each container hold.

    Args:
        measured: for each container, by its name, the resident set size of each of its processes in bytes.
    """
    axes = pixel_axes(card(HEAD + LANE * len(measured) + MARGIN))
    left = MARGIN + max(text_width(name, TEXT, weight="bold") for name in measured) + GAP
    room = WIDTH - MARGIN - left - text_width("1000 MB", TEXT, weight="bold") - GAP
    largest = max(sum(sizes) for sizes in measured.values())
    title = "resident set size; each part is one process"
    axes.text(left, HEAD / 2, title, va="center_baseline", fontsize=points(SMALL), color=MUTED)
    for number, (name, sizes) in enumerate(measured.items()):
        y = HEAD + LANE * (number + 0.5)
        _text(axes, MARGIN, y, name, weight="bold")
        x = left
        for size in sorted(sizes, reverse=True):
            width = size / largest * room
            axes.barh(y, width, BAR, left=x, color=BLUE, edgecolor=CARD, linewidth=points(2), zorder=2)
            x += width
        _text(axes, x + GAP / 2, y, f"{sum(sizes) / 1e6:.0f} MB", weight="bold")
    axes.plot([left, left], [HEAD, HEAD + LANE * len(measured)], color=EDGE, lw=points(1), zorder=3)
    return Picture(axes.figure, _told(measured))


def _text(axes: Axes, x: float, y: float, text: str, weight: str = "normal") -> None:
    axes.text(x, y, text, va="center_baseline", fontsize=points(TEXT), color=INK, weight=weight)


def _told(measured: Mapping[str, Sequence[int]]) -> str:
    """The picture in words, without sizes: those differ from run to run."""
    order = sorted(measured, key=lambda name: sum(measured[name]))
    counts = ", ".join(f"{name}: {len(sizes)} process{'es' * (len(sizes) > 1)}" for name, sizes in measured.items())
    return f"Memory, from the least to the most: {', '.join(order)}. ({counts}.)"
