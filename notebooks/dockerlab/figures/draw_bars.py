"""Bars: what images hold beyond their base, what each of them costs, and what containers' processes hold in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from ..errors import LabError
from ..records import ImageContent, ImageLayer, Resident
from . import colors
from .picture import GAP, MARGIN, SMALL, WIDTH, Canvas, Picture, text_width, widest

HEAD = 44
LANE = 34
BAR = 20
LEGEND = 36

# Processes are few, and need no legend: their bars are larger.
MEMORY_LANE = 44
MEMORY_BAR = 26

FILLS = ((colors.BLUE, ""), (colors.ORANGE, "////"), (colors.GREEN, "...."), (colors.RED, "xxxx"))
"""A color and a hatch for each part; parts beyond these share the last."""

ROLES = {"server": FILLS[0], "parent": FILLS[1], "helper": (colors.GRAY, "xxxx"), "worker": FILLS[2]}
"""A fill for the role of each process, in the order in which they are drawn."""

BASE = "base image"
OTHER = "the rest"
LEAST_PERCENT = 0.5
"""Of the longest bar: what is not longer cannot be seen, and is left out of the legend."""


def memory(measured: Mapping[str, Sequence[Resident]]) -> Picture:
    """Draw what the processes of each container hold.

    Args:
        measured: for each container, by its name, its processes.
    """
    drawn = {one.role for processes in measured.values() for one in processes}
    fills = {role: fill for role, fill in ROLES.items() if role in drawn}
    bottom = HEAD + MEMORY_LANE * len(measured)
    canvas = Canvas(bottom + LEGEND)
    totals = {name: sum(one.resident_bytes for one in processes) for name, processes in measured.items()}
    left, scale = _columns(measured, totals.values())
    canvas.text(left, HEAD / 2, "resident set size; each part is one process", SMALL, colors.MUTED)
    for number, (name, processes) in enumerate(measured.items()):
        y = HEAD + MEMORY_LANE * (number + 0.5)
        canvas.text(MARGIN, y, name, weight="bold")
        parts = [(one.resident_bytes, *fills[role]) for role in fills for one in processes if one.role == role]
        _stacked(canvas, left, y, scale, parts, MEMORY_BAR, edge_width=2)
    canvas.line([left, left], [HEAD, bottom], colors.EDGE, above=3)
    _legend(canvas, left, bottom + LEGEND / 2 - 2, fills)
    # No sizes in words: they differ from run to run.
    order = sorted(totals, key=lambda name: totals[name])
    counts = "; ".join(f"{name}: {_counted(processes)}" for name, processes in measured.items())
    return canvas.picture(f"Memory, from the least to the most: {', '.join(order)}. Processes: {counts}.")


def _counted(processes: Sequence[Resident]) -> str:
    """Which processes a container has: ``1 parent, 1 helper, 2 workers``."""
    counts = Counter(one.role for one in processes)
    return ", ".join(f"{counts[role]} {role}{'s' * (counts[role] > 1)}" for role in ROLES if role in counts)


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
    fills = {name: FILLS[min(number, len(FILLS) - 1)] for number, name in enumerate(names)} | {BASE: (colors.GRAY, "")}
    rows = [(BASE, {BASE: next(iter(contents.values())).base_bytes})]
    rows += [(name, _summed(image.layers, parts, names)) for name, image in contents.items()]
    totals = [sum(row.values()) for _, row in rows]
    least = max(totals) * LEAST_PERCENT / 100

    height = HEAD + LANE * len(rows) + LEGEND
    canvas = Canvas(height)
    left, scale = _columns([name for name, _ in rows], totals)
    canvas.text(
        left, HEAD / 2, "content of the layers that each adds to the base image, not compressed", SMALL, colors.MUTED
    )
    for number, (name, row) in enumerate(rows):
        y = HEAD + LANE * (number + 0.5)
        canvas.text(MARGIN, y, name, color=colors.MUTED if name == BASE else colors.INK, weight="bold")
        _stacked(canvas, left, y, scale, [(size, *fills[part]) for part, size in row.items()], BAR)
    canvas.line([MARGIN, WIDTH - MARGIN], [HEAD + LANE] * 2, colors.EDGE)

    seen_names = [name for name in names if any(row.get(name, 0) > least for _, row in rows)]
    _legend(canvas, left, height - LEGEND / 2 - 2, {name: fills[name] for name in seen_names})
    # No sizes in words: they differ with the machine and the day.
    seen = [(name, [part for part, size in row.items() if size > least]) for name, row in rows[1:]]
    alt = "; ".join(f"{name}: {', '.join(found) or 'nothing'}" for name, found in seen)
    return canvas.picture(f"What each image adds to its base: {alt}.")


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
    canvas = Canvas(HEAD + LANE * len(measured) + MARGIN)
    left = MARGIN + widest(measured) + GAP
    width = (WIDTH - MARGIN - left - GAP * (len(columns) - 1)) / len(columns)
    number_width = text_width("000.00 s", SMALL)
    for position, column in enumerate(columns):
        x = left + position * (width + GAP)
        largest = max(row[column] for row in measured.values()) or 1
        canvas.text(x, HEAD / 2, column, SMALL, colors.MUTED)
        for number, row in enumerate(measured.values()):
            y = HEAD + LANE * (number + 0.5)
            length = row[column] / largest * (width - number_width - 6)
            canvas.bar(x, y - BAR / 2, length, BAR, colors.BLUE)
            shown = f"{row[column]:.0f} MB" if column in megabytes else f"{row[column]:.2f} s"
            canvas.text(x + length + 6, y, shown, SMALL)
    for number, name in enumerate(measured):
        canvas.text(MARGIN, HEAD + LANE * (number + 0.5), name, weight="bold")
    units = {"Seconds": [c for c in columns if c not in megabytes], "MB": [c for c in columns if c in megabytes]}
    alt = "; ".join(f"{unit} of {', '.join(names)}" for unit, names in units.items() if names)
    return canvas.picture(f"{alt}, for {', '.join(measured)}.")


def _legend(canvas: Canvas, x: float, y: float, fills: Mapping[str, tuple[str, str]]) -> None:
    """Draw what each fill means, from left to right."""
    for name, fill in fills.items():
        canvas.bar(x, y - 7, 30, 14, *fill)
        canvas.text(x + 38, y, name, SMALL, colors.MUTED)
        x += 38 + text_width(name, SMALL) + 28


def _columns(names: Iterable[str], totals: Iterable[int]) -> tuple[float, float]:
    """Where the bars begin, beside the names of the rows; and pixels for each byte, with room for the totals."""
    left = MARGIN + widest(names) + GAP
    right = WIDTH - MARGIN - widest(["1000 MB"]) - GAP
    return left, (right - left) / (max(totals) or 1)


def _stacked(
    canvas: Canvas,
    x: float,
    y: float,
    scale: float,
    parts: Iterable[tuple[int, str, str]],
    height: float,
    *,
    edge_width: float = 1,
) -> None:
    """Draw the parts of a bar beside each other, and their total.

    Args:
        x, y: the middle of the bar's left end.
        scale: pixels for each byte.
        parts: their bytes, colors and hatches.
        height: of the bar.
        edge_width: of the edge between two parts.
    """
    total = 0
    for size, color, hatch in parts:
        canvas.bar(x, y - height / 2, size * scale, height, color, hatch, line=edge_width)
        x += size * scale
        total += size
    canvas.text(x + GAP / 2, y, f"{total / 1e6:.0f} MB", weight="bold")


def _summed(layers: Sequence[ImageLayer], parts: Mapping[str, str], names: Sequence[str]) -> dict[str, int]:
    """The bytes of an image's parts in the order of the legend, so that the same part stands below the same."""
    total = dict.fromkeys(names, 0)
    for layer in layers:
        if not layer.from_base:
            total[next((name for text, name in parts.items() if text in layer.instruction), OTHER)] += layer.size_bytes
    return {name: size for name, size in total.items() if size}
