"""What a figure function returns: a sharp picture, legible in light and dark themes, with a text that says the same."""

from __future__ import annotations

import io
from bisect import bisect
from collections.abc import Callable
from functools import cache, cached_property

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

CSS_PIXELS_PER_INCH = 96
SCALE = 2
"""Pixels of the image for each pixel of the page, so that it is sharp on dense screens."""

WIDTH = 880
"""CSS pixels: fits an output of JupyterLab beside its file browser, and a page of a code-hosting site."""

# Ink on a light card, the same in every theme. Okabe and Ito's colours differ for colour-blind readers too; still, no
# figure tells anything by colour alone.
CARD = "#fbfbfc"
EDGE = "#d5d8de"
INK = "#1f2328"
MUTED = "#667080"
BLUE = "#0072b2"
ORANGE = "#e69f00"
GREEN = "#009e73"
RED = "#d55e00"


class Picture:
    """A drawn figure and the text that says the same.

    Attributes:
        figure: the matplotlib figure, to draw on or save in another format.
        alt: what the picture shows, for those who cannot see it. It stands in the notebook as the picture's plain text,
            which is compared when the notebook is tested: verdicts belong in it, seconds do not.
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

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        width, height = (round(inches * CSS_PIXELS_PER_INCH) for inches in self.figure.get_size_inches())
        return (
            {"text/plain": self.alt, "image/png": self.png},
            {"image/png": {"alt": self.alt, "width": width, "height": height}},
        )


def card(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, made without pyplot and so without anything global. Sizes are in CSS pixels."""
    size = (width / CSS_PIXELS_PER_INCH, height / CSS_PIXELS_PER_INCH)
    return Figure(figsize=size, facecolor=CARD, edgecolor=EDGE, linewidth=1)


def pixel_axes(figure: Figure) -> Axes:
    """Axes over the whole card in CSS pixels, origin at the top left, with nothing drawn: for boxes and text."""
    width, height = figure.get_size_inches() * CSS_PIXELS_PER_INCH
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    return axes


def points(css_pixels: float) -> float:
    """A font size or line width given in CSS pixels, in matplotlib's unit."""
    return css_pixels * 72 / CSS_PIXELS_PER_INCH


@cache
def text_width(text: str, size: float, *, family: str = "sans-serif", weight: str = "normal") -> float:
    """How wide a line of text will be. Sizes are in CSS pixels."""
    if not text.strip():
        return text_width(text + "|", size, family=family, weight=weight) if text else 0.0
    # A mark at each end makes spaces count.
    marked, marks = (ink_width(part, size, family=family, weight=weight) for part in (f"|{text}|", "||"))
    return marked - marks


@cache
def ink_width(text: str, size: float, *, family: str = "sans-serif", weight: str = "normal") -> float:
    """How wide the outline of a line of text is: it ends where the ink does, and spaces at the ends do not count."""
    font = FontProperties(family=family, weight=weight)
    return TextPath((0, 0), text, size=size, prop=font, usetex=False).get_extents().width


def shortened(text: str, fits: Callable[[str], bool]) -> str:
    """A text that fits: the whole, or as much of its beginning as leaves room for an ellipsis.

    Args:
        text: a line.
        fits: whether a text is narrow enough. It is asked for a few of the beginnings only: to measure a text is slow.
    """
    if fits(text):
        return text
    longest = bisect(range(1, len(text)), False, key=lambda length: not fits(f"{text[:length]}…"))
    return f"{text[:longest]}…"
