"""The layers of several builds, side by side: which were made, and which came from the cache."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..errors import LabError
from ..records import Build, Step
from .picture import BLUE, INK, MUTED, WIDTH, Picture, card, pixel_axes, points, shortened, text_width

_MARGIN = 20
_GAP = 14
_MOST_IN_A_ROW = 5

# Font sizes and heights, in CSS pixels.
_TITLE, _NAME, _TEXT = 16, 13, 11
_LINE = 17
_BLOCK = 42
_STRIP = 9
_BAR = 4
_BETWEEN = 26

_BUILT = "#e6f1f8"
_CACHED_EDGE = "#aab2bd"

_SHARED = ("FROM", "WORKDIR")
"""Left out of the alternative text: they cost next to nothing, and whether they are cached depends on what else was
built on the engine."""


def layers(
    builds: Mapping[str, Build] | Sequence[Build],
    title: str = "What each build carried out, and what it took from the cache",
) -> Picture:
    """Draw each build as a column of its steps, in the order of the Dockerfile.

    A step that was carried out is filled, with a solid edge, its seconds, and a bar whose length compares them with
    those of the longest step. One from the cache is empty, with a hatched edge, and says so.

    Args:
        builds: the builds by the name to show; in a sequence, each has its own. Legible up to ten.
        title: stands above the columns.

    Raises:
        LabError: there is no build, or two have the same name.
    """
    named = dict(builds) if isinstance(builds, Mapping) else {build.name: build for build in builds}
    if len(named) != len(builds) or not named:
        do = "Give at least one, and each a name of its own: layers({'first': build, …})."
        raise LabError(f"These {len(builds)} builds cannot be drawn.", do)
    columns = math.ceil(len(named) / math.ceil(len(named) / _MOST_IN_A_ROW))
    width = (WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) / columns
    names = list(named)
    rows = [names[start : start + columns] for start in range(0, len(names), columns)]
    heads = [max(len(_wrapped(name, width)) for name in row) + 1 for row in rows]
    stacks = [max(len(named[name].steps) for name in row) for row in rows]

    top = _MARGIN + 4 * _LINE
    heights = [head * _LINE + stack * _BLOCK for head, stack in zip(heads, stacks, strict=True)]
    figure = card(top + sum(heights) + (len(rows) - 1) * _BETWEEN + _MARGIN)
    axes = pixel_axes(figure)
    longest = max((step.seconds for build in named.values() for step in build.steps), default=0.0)
    _text(axes, _MARGIN, _MARGIN + 8, title, _TITLE, weight="bold")
    _legend(axes, _MARGIN, _MARGIN + 2 * _LINE)
    for row, head, stack in zip(rows, heads, stacks, strict=True):
        for column, name in enumerate(row):
            left = _MARGIN + column * (width + _GAP)
            lines = _wrapped(name, width)
            for number, line in enumerate(lines):
                _text(axes, left, top + (head - 1 - len(lines) + number) * _LINE, line, _NAME, weight="bold")
            seconds = f"whole build {named[name].seconds:.2f} s"
            _text(axes, left, top + (head - 1) * _LINE, seconds, _TEXT, color=MUTED)
            for number, step in enumerate(named[name].steps):
                _block(axes, left, top + head * _LINE + number * _BLOCK, width, step, longest)
        top += head * _LINE + stack * _BLOCK + _BETWEEN
    heading = title if title.endswith((".", "?", "!")) else title + "."
    return Picture(figure, f"{heading} " + " ".join(_told(name, build) for name, build in named.items()))


def _block(axes: Axes, x: float, y: float, width: float, step: Step, longest: float) -> None:
    height = _BLOCK - 5
    _box(axes, x, y, width, height, cached=step.cached)
    text = x + _STRIP + 7
    keyword, _, rest = _fitted(step.instruction, width - _STRIP - 12).partition(" ")
    _text(axes, text, y + 12, keyword, _TEXT, family="monospace", weight="bold", color=MUTED if step.cached else INK)
    offset = text_width(keyword + " ", _TEXT, family="monospace", weight="bold")
    _text(axes, text + offset, y + 12, rest, _TEXT, family="monospace", color=MUTED if step.cached else INK)
    if step.cached:
        _text(axes, text, y + 26, "cached", _TEXT, color=MUTED)
    else:
        _text(axes, text, y + 26, f"built  {step.seconds:.2f} s", _TEXT)
        bar = (width - _STRIP) * (step.seconds / longest if longest else 0)
        axes.add_patch(Rectangle((x + _STRIP, y + height - _BAR), bar, _BAR, facecolor=BLUE, linewidth=0))


def _box(axes: Axes, x: float, y: float, width: float, height: float, *, cached: bool) -> None:
    edge = _CACHED_EDGE if cached else BLUE
    line = points(1)
    fill = "white" if cached else _BUILT
    axes.add_patch(Rectangle((x, y), width, height, facecolor=fill, edgecolor=edge, linewidth=line))
    axes.add_patch(
        Rectangle(
            (x, y),
            _STRIP,
            height,
            facecolor="white" if cached else BLUE,
            edgecolor=edge,
            hatch="//////" if cached else None,
            linewidth=line,
        )
    )


def _legend(axes: Axes, x: float, y: float) -> None:
    for cached, meaning in (
        (False, "built: carried out, with its seconds; the bar compares them"),
        (True, "cached: taken from the build cache"),
    ):
        _box(axes, x, y - 7, 30, 14, cached=cached)
        _text(axes, x + 38, y, meaning, _TEXT, color=MUTED)
        x += 38 + text_width(meaning, _TEXT) + 28


def _text(axes: Axes, x: float, y: float, text: str, size: float, *, color: str = INK, **font: str) -> None:
    # No parsing of $…$ as mathematics: there are dollar signs in Dockerfiles.
    axes.text(x, y, text, fontsize=points(size), color=color, va="center", parse_math=False, **font)


def _fitted(instruction: str, width: float) -> str:
    """The instruction as it fits: whole, else without its flags, else cut at the end."""
    advance = text_width("m", _TEXT, family="monospace")
    fits = int(width / advance)
    if len(instruction) > fits:
        instruction = re.sub(r"(?: --\S+)+", " …", instruction)
    if len(instruction) <= fits:
        return instruction
    return instruction[: fits - 1].rstrip(" -/.…") + "…"


def _wrapped(name: str, width: float) -> list[str]:
    """A name on one line, else broken after its first comma, else at spaces."""
    if _fits(name, width):
        return [name]
    first, comma, rest = name.partition(", ")
    if comma and _fits(first + ",", width) and _fits(rest, width):
        return [first + ",", rest]
    lines = [""]
    for word in name.split():
        if lines[-1] and not _fits(f"{lines[-1]} {word}", width):
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return [shortened(line, lambda part: _fits(part, width)) for line in lines]


def _fits(line: str, width: float) -> bool:
    return text_width(line, _NAME, weight="bold") <= width


def _told(name: str, build: Build) -> str:
    steps = [step for step in build.steps if not step.instruction.startswith(_SHARED)]
    built = list(_listed(step for step in steps if not step.cached))
    cached = list(_listed(step for step in steps if step.cached))
    if not built:
        return f"{name}: all cached."
    return f"{name}: built {', '.join(built)}" + (f"; cached {', '.join(cached)}." if cached else "; nothing cached.")


def _listed(steps: Iterator[Step]) -> Iterator[str]:
    for step in steps:
        words = [word for word in step.instruction.split() if not word.startswith("--")]
        yield " ".join(words[:3] if words[0] == "RUN" else words[:2])
