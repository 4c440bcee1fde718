"""The layers of several builds, side by side: which were made, and which came from the cache."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from ..errors import LabError
from ..records import Build, Step
from . import colors
from .picture import MARGIN, WIDTH, Canvas, Picture, shortened, text_width

_GAP = 14
_MOST_IN_A_ROW = 5

# Font sizes and heights.
_TITLE, _NAME, _TEXT = 16, 13, 11
_LINE = 17
_BLOCK = 42
_STRIP = 9
_BAR = 4
_BETWEEN = 26

_SHARED = ("FROM", "WORKDIR")
"""Left out of the alternative text: they cost next to nothing, and whether they are cached depends on what else was
built on the engine."""


def layers(
    builds: Mapping[str, Build] | Sequence[Build],
    title: str = "What each build ran, and what it took from the cache",
) -> Picture:
    """Draw each build as a column of its steps, in the order of the Dockerfile.

    A step that ran is filled, with a solid edge, its seconds, and a bar whose length compares them with those of the
    longest step. One from the cache is empty, with a hatched edge, and says so.

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
    width = (WIDTH - 2 * MARGIN - (columns - 1) * _GAP) / columns
    names = list(named)
    rows = [names[start : start + columns] for start in range(0, len(names), columns)]
    captions = [max(len(_wrapped(name, width)) for name in row) + 1 for row in rows]
    stacks = [max(len(named[name].steps) for name in row) for row in rows]

    top = MARGIN + 4 * _LINE
    heights = [caption * _LINE + stack * _BLOCK for caption, stack in zip(captions, stacks, strict=True)]
    canvas = Canvas(top + sum(heights) + (len(rows) - 1) * _BETWEEN + MARGIN)
    longest = max((step.seconds for build in named.values() for step in build.steps), default=0.0)
    canvas.text(MARGIN, MARGIN + 8, title, _TITLE, weight="bold", va="center")
    _legend(canvas, MARGIN, MARGIN + 2 * _LINE)
    for row, caption, stack in zip(rows, captions, stacks, strict=True):
        for column, name in enumerate(row):
            left = MARGIN + column * (width + _GAP)
            lines = _wrapped(name, width)
            for number, line in enumerate(lines):
                y = top + (caption - 1 - len(lines) + number) * _LINE
                canvas.text(left, y, line, _NAME, weight="bold", va="center")
            seconds = _shown(sum(step.seconds for step in named[name].steps))
            canvas.text(left, top + (caption - 1) * _LINE, f"all steps {seconds}", _TEXT, colors.MUTED, va="center")
            for number, step in enumerate(named[name].steps):
                _block(canvas, left, top + caption * _LINE + number * _BLOCK, width, step, longest)
        top += caption * _LINE + stack * _BLOCK + _BETWEEN
    heading = title if title.endswith((".", "?", "!")) else title + "."
    return canvas.picture(f"{heading} " + " ".join(_alt(name, build) for name, build in named.items()))


def _block(canvas: Canvas, x: float, y: float, width: float, step: Step, longest: float) -> None:
    height = _BLOCK - 5
    _box(canvas, x, y, width, height, cached=step.cached)
    text, color = x + _STRIP + 7, colors.MUTED if step.cached else colors.INK
    keyword, _, arguments = _fitted(step.instruction, width - _STRIP - 12).partition(" ")
    offset = text_width(keyword + " ", _TEXT, family="monospace", weight="bold")
    canvas.text(text, y + 12, keyword, _TEXT, color, family="monospace", weight="bold", va="center")
    canvas.text(text + offset, y + 12, arguments, _TEXT, color, family="monospace", va="center")
    canvas.text(text, y + 26, "cached" if step.cached else f"built  {_shown(step.seconds)}", _TEXT, color, va="center")
    if not step.cached:
        bar = (width - _STRIP) * (step.seconds / longest if longest else 0)
        canvas.bar(x + _STRIP, y + height - _BAR, bar, _BAR, colors.BLUE, line=0)


def _shown(seconds: float) -> str:
    """Seconds in tenths: `docker build` prints no more of them."""
    return f"{seconds:.1f} s" if seconds >= 0.05 else "under 0.1 s"


def _box(canvas: Canvas, x: float, y: float, width: float, height: float, *, cached: bool) -> None:
    edge = colors.GRAY if cached else colors.BLUE
    canvas.bar(x, y, width, height, colors.PAPER if cached else colors.TINT, edge=edge)
    canvas.bar(x, y, _STRIP, height, colors.PAPER if cached else colors.BLUE, "//////" if cached else "", edge=edge)


def _legend(canvas: Canvas, x: float, y: float) -> None:
    for cached, meaning in (
        (False, "built: the step ran; the bar compares the seconds"),
        (True, "cached: taken from the build cache"),
    ):
        _box(canvas, x, y - 7, 30, 14, cached=cached)
        canvas.text(x + 38, y, meaning, _TEXT, colors.MUTED, va="center")
        x += 38 + text_width(meaning, _TEXT) + 28


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
    first, comma, second = name.partition(", ")
    if comma and _fits(first + ",", width) and _fits(second, width):
        return [first + ",", second]
    lines = [""]
    for word in name.split():
        if lines[-1] and not _fits(f"{lines[-1]} {word}", width):
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return [shortened(line, lambda part: _fits(part, width)) for line in lines]


def _fits(line: str, width: float) -> bool:
    return text_width(line, _NAME, weight="bold") <= width


def _alt(name: str, build: Build) -> str:
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
