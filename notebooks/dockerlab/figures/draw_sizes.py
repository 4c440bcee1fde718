"""What images hold beyond their base, layer by layer; and what each costs, side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..errors import LabError
from ..records import ImageContent, ImageLayer
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
GAP = 18
HEAD = 44
LANE = 34
BAR = 20
TEXT = 13
SMALL = 12
LEGEND = 36

FILLS = ((BLUE, ""), (ORANGE, "////"), (GREEN, "...."), (RED, "xxxx"))
"""A colour and a hatch for each part; parts beyond these share the last."""

BASE = "base image"
OTHER = "the rest"
LEAST_PERCENT = 0.5
"""Of the longest bar: what is shorter cannot be seen, and is left out of the legend."""


def sizes(contents: Mapping[str, ImageContent], parts: Mapping[str, str]) -> Picture:
    """Draw each image as a bar of its layers, below the base image that all of them begin with.

    Args:
        contents: at least one, by the name to show, from top to bottom.
        parts: what to call a layer, by a text that stands in its instruction: ``{"pip install": "packages"}``. The
            first that fits counts; other layers are ``the rest``.

    Raises:
        LabError: there is no image.
    """
    if not contents:
        do = "Give at least one image's content: sizes({'page': content(lab, image)}, parts)."
        raise LabError("There is no image to draw.", do)
    names = list(dict.fromkeys([*parts.values(), OTHER]))
    rows = [(BASE, [(BASE, next(iter(contents.values())).base_bytes)])]
    rows += [(name, _summed(image.layers, parts, names)) for name, image in contents.items()]
    longest = max(sum(size for _, size in row) for _, row in rows) or 1
    seen = {name for _, row in rows for name, size in row if size / longest * 100 >= LEAST_PERCENT}
    height = HEAD + LANE * len(rows) + LEGEND
    axes = pixel_axes(card(height))
    left = MARGIN + max(text_width(name, TEXT, weight="bold") for name, _ in rows) + GAP
    room = WIDTH - MARGIN - left - text_width("1000 MB", TEXT, weight="bold") - GAP
    _write(axes, left, HEAD / 2, "content of the layers that each adds to the base image, not compressed", SMALL, MUTED)
    for number, (name, row) in enumerate(rows):
        y = HEAD + LANE * (number + 0.5)
        _write(axes, MARGIN, y, name, TEXT, MUTED if name == BASE else INK, weight="bold")
        x = left
        for part, size in row:
            width = size / longest * room
            _bar(axes, x, y, width, *_fill(part, names))
            x += width
        total = sum(size for _, size in row)
        _write(axes, x + GAP / 2, y, f"{total / 1e6:.0f} MB", TEXT, weight="bold")
    axes.plot([MARGIN, WIDTH - MARGIN], [HEAD + LANE] * 2, color=EDGE, lw=points(1))
    _legend(axes, left, height - LEGEND / 2 - 2, [name for name in names if name in seen], names)
    return Picture(
        axes.figure, f"What each image adds to its base: {'; '.join(_told(row, longest) for row in rows[1:])}."
    )


def costs(measured: Mapping[str, Mapping[str, float]], megabytes: Collection[str] = ()) -> Picture:
    """Draw a table with bars: a row for each image, a column for each thing measured, with a scale of its own.

    Args:
        measured: for each image, by its name, each thing by its name, in seconds. All have the same things.
        megabytes: the names of things that are not in seconds but in MB.

    Raises:
        LabError: there is nothing to draw.
    """
    if not measured or not all(measured.values()):
        do = "Give the numbers of at least one image: costs({'page': {'cold build': 9.5}})."
        raise LabError("There is nothing to draw.", do)
    columns = list(next(iter(measured.values())))
    axes = pixel_axes(card(HEAD + LANE * len(measured) + MARGIN))
    left = MARGIN + max(text_width(name, TEXT, weight="bold") for name in measured) + GAP
    width = (WIDTH - MARGIN - left - GAP * (len(columns) - 1)) / len(columns)
    number_width = text_width("000.00 s", SMALL)
    for position, column in enumerate(columns):
        x = left + position * (width + GAP)
        largest = max(row[column] for row in measured.values()) or 1
        _write(axes, x, HEAD / 2, column, SMALL, MUTED)
        for number, row in enumerate(measured.values()):
            y = HEAD + LANE * (number + 0.5)
            length = row[column] / largest * (width - number_width - 6)
            _bar(axes, x, y, length, BLUE, "")
            _write(
                axes,
                x + length + 6,
                y,
                f"{row[column]:.0f} MB" if column in megabytes else f"{row[column]:.2f} s",
                SMALL,
            )
    for number, name in enumerate(measured):
        _write(axes, MARGIN, HEAD + LANE * (number + 0.5), name, TEXT, weight="bold")
    return Picture(axes.figure, f"{_units(columns, megabytes)}, for {', '.join(measured)}.")


def _units(columns: Sequence[str], megabytes: Collection[str]) -> str:
    """What was measured, in words."""
    told = {"Seconds": [c for c in columns if c not in megabytes], "MB": [c for c in columns if c in megabytes]}
    return "; ".join(f"{unit} of {', '.join(names)}" for unit, names in told.items() if names)


def _summed(layers: Sequence[ImageLayer], parts: Mapping[str, str], names: Sequence[str]) -> list[tuple[str, int]]:
    """The parts of an image in the order of the legend, so that the same part stands below the same."""
    total = dict.fromkeys(names, 0)
    for layer in layers:
        if not layer.from_base:
            total[next((name for text, name in parts.items() if text in layer.instruction), OTHER)] += layer.size_bytes
    return [(name, size) for name, size in total.items() if size]


def _fill(part: str, names: Sequence[str]) -> tuple[str, str]:
    return (EDGE, "") if part == BASE else FILLS[min(names.index(part), len(FILLS) - 1)]


def _bar(axes: Axes, x: float, y: float, width: float, color: str, hatch: str) -> None:
    # A hatch takes the colour of the edge.
    axes.add_patch(
        Rectangle((x, y - BAR / 2), width, BAR, facecolor=color, hatch=hatch, edgecolor=CARD, linewidth=points(1))
    )


def _legend(axes: Axes, x: float, y: float, shown: Sequence[str], names: Sequence[str]) -> None:
    for name in shown:
        axes.add_patch(Rectangle((x, y - 7), 30, 14, facecolor=_fill(name, names)[0], hatch=_fill(name, names)[1],
                                 edgecolor=CARD, linewidth=points(1)))  # fmt: skip
        _write(axes, x + 38, y, name, SMALL, MUTED)
        x += 38 + text_width(name, SMALL) + 28


def _write(axes: Axes, x: float, y: float, text: str, size: float, color: str = INK, weight: str = "normal") -> None:
    axes.text(x, y, text, va="center_baseline", fontsize=points(size), color=color, weight=weight, parse_math=False)


def _told(row: tuple[str, list[tuple[str, int]]], longest: int) -> str:
    """An image in words: its parts that can be seen, without sizes, which differ with the machine and the day."""
    name, found = row
    return f"{name}: {', '.join(part for part, size in found if size / longest * 100 >= LEAST_PERCENT) or 'nothing'}"
