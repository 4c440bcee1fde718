"""What a figure function draws on and returns: a sharp picture, legible in light and dark themes, with its text.

All lengths are CSS pixels.
"""

from __future__ import annotations

import html
import io
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from typing import Any, Literal

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath

from .colors import CARD, EDGE, INK

CSS_PIXELS_PER_INCH = 96
SCALE = 2
"""Pixels of the image for each pixel of the page, so that it is sharp on dense screens."""

WIDTH = 880
"""Fits an output of JupyterLab beside its file browser, and a page of a code-hosting site."""

MARGIN = 20
GAP = 18
TEXT = 13
SMALL = 12


class Picture:
    """A drawn figure and the text that says the same.

    Attributes:
        figure: the matplotlib figure, to draw on or save in another format.
        alt: what the picture shows, for those who cannot see it. It stands in the notebook as the picture's plain text,
            which is compared when the notebook is tested: verdicts belong in it, measured seconds do not.
    """

    def __init__(self, figure: Figure, alt: str) -> None:
        self.figure = figure
        self.alt = alt

    @cached_property
    def png(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=CSS_PIXELS_PER_INCH * SCALE)
        return buffer.getvalue()

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        width, height = (round(inches * CSS_PIXELS_PER_INCH) for inches in self.figure.get_size_inches())
        return (
            {"text/plain": self.alt, "image/png": self.png},
            {"image/png": {"alt": self.alt, "width": width, "height": height}},
        )

    def _ipython_display_(self) -> None:
        """The picture, and folded below it its words: JupyterLab gives an image no alternative text."""
        from IPython.display import publish_display_data  # slow to load, and only notebooks need it

        publish_display_data(*self._repr_mimebundle_())  # type: ignore[no-untyped-call]
        words = html.escape(self.alt)
        folded = f"<details><summary>This figure in words</summary><p>{words}</p></details>"
        both = {"text/plain": "(The figure in words: as above.)", "text/html": folded}
        publish_display_data(both)  # type: ignore[no-untyped-call]


class Canvas:
    """An empty card, made without pyplot and so without anything global. The origin is at its top left.

    Attributes:
        figure: the matplotlib figure.
        axes: over the whole card, in pixels, with nothing drawn: for what the methods do not draw.
    """

    def __init__(self, height: float) -> None:
        size = (WIDTH / CSS_PIXELS_PER_INCH, height / CSS_PIXELS_PER_INCH)
        self.figure = Figure(figsize=size, facecolor=CARD, edgecolor=EDGE, linewidth=1)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, WIDTH)
        self.axes.set_ylim(height, 0)
        self.axes.axis("off")

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = TEXT,
        color: str = INK,
        *,
        weight: str = "normal",
        family: str = "sans-serif",
        ha: Literal["left", "center"] = "left",
        va: Literal["top", "center", "center_baseline", "bottom"] = "center_baseline",
    ) -> None:
        """Write a line of text as it is: a dollar sign begins no mathematics. It is above all lines and bars."""
        self.axes.text(
            x, y, text, size=points(size), color=color, weight=weight, family=family, ha=ha, va=va,
            parse_math=False, zorder=6,
        )  # fmt: skip

    def line(
        self, x: Sequence[float], y: Sequence[float], color: str, width: float = 1, *, dashes: Sequence[float] = (),
        above: float = 2, butt: bool = False,
    ) -> None:  # fmt: skip
        """Draw a line through points.

        Args:
            x, y: the points' coordinates.
            dashes: lengths of the dashes and of the gaps between them, in widths of the line.
            above: what it covers: what has a smaller number.
            butt: whether it ends at its last point, and not half a width beyond it.
        """
        self.axes.plot(
            x, y, color=color, lw=points(width), ls=(0, tuple(dashes)) if dashes else "-", zorder=above,
            solid_capstyle="butt" if butt else "projecting",
        )  # fmt: skip

    def bar(
        self, x: float, y: float, width: float, height: float, color: str, hatch: str = "", *, edge: str = CARD,
        line: float = 1, above: float = 1,
    ) -> None:  # fmt: skip
        """Draw a rectangle.

        Args:
            x, y: its top left corner.
            hatch: its pattern, as matplotlib names them, in the color of the edge.
            line: the width of its edge.
            above: what it covers: what has a smaller number.
        """
        patch = Rectangle((x, y), width, height, fc=color, ec=edge, hatch=hatch, lw=points(line), zorder=above)
        self.axes.add_patch(patch)

    def picture(self, alt: str) -> Picture:
        """What was drawn, with the text that says the same."""
        return Picture(self.figure, alt)


def points(css_pixels: float) -> float:
    """A font size or line width in matplotlib's unit."""
    return css_pixels * 72 / CSS_PIXELS_PER_INCH


@cache
def text_width(text: str, size: float, *, family: str = "sans-serif", weight: str = "normal") -> float:
    """How wide a line of text will be."""
    if not text.strip():
        return text_width(text + "|", size, family=family, weight=weight) if text else 0.0
    # A mark at each end makes spaces count.
    marked, marks = (ink_width(part, size, family=family, weight=weight) for part in (f"|{text}|", "||"))
    return marked - marks


@cache
def ink_width(text: str, size: float, *, family: str = "sans-serif", weight: str = "normal") -> float:
    """How wide the outline of a line of text is: spaces at its ends do not count."""
    font = FontProperties(family=family, weight=weight)
    return TextPath((0, 0), text, size=size, prop=font, usetex=False).get_extents().width


def widest(texts: Iterable[str]) -> float:
    """How wide the widest of some bold texts is."""
    return max(text_width(text, TEXT, weight="bold") for text in texts)


def shortened(text: str, fits: Callable[[str], bool]) -> str:
    """A text that fits: the whole, or as much of its beginning as leaves room for an ellipsis.

    Args:
        text: a line.
        fits: whether a text is narrow enough. It is called for a few of the beginnings only: measuring a text is slow.
    """
    if fits(text):
        return text
    longest = bisect(range(1, len(text)), False, key=lambda length: not fits(f"{text[:length]}…"))
    return f"{text[:longest]}…"
