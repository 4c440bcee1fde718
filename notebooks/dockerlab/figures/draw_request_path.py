"""The path of a request: from the client through the proxy to the application, and what each of them knew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..records import SeenRequest
from .picture import BLUE, EDGE, GREEN, INK, MUTED, RED, WIDTH, Picture, card, pixel_axes, points, shortened, text_width

# All lengths are CSS pixels.
MARGIN = 20
HEAD = 34
BOX_WIDTHS = (218, 254, 236)
LINE = 19
PADDING = 10
LINES = 5
MARK = 18
TITLE_WIDTH = 640
"""Measured as small text, drawn larger and bold: the card is wide enough for both."""
BOX = 2 * PADDING + LINES * LINE
ANSWER = 38
GAP = 16
ROW = HEAD + BOX + ANSWER + GAP
TEXT = 13
SMALL = 12

_TITLES = {
    "host": "Host",
    "x-forwarded-proto": "X-Forwarded-Proto",
    "x-forwarded-for": "X-Forwarded-For",
    "x-forwarded-host": "X-Forwarded-Host",
    "x-forwarded-prefix": "X-Forwarded-Prefix",
}


def path(seen: Sequence[SeenRequest]) -> Picture:
    """Draw the path of a request for each record, one below the other.

    Args:
        seen: at least one, in the order in which they are drawn, from top to bottom.
    """
    axes = pixel_axes(card(len(seen) * ROW + MARGIN))
    for number, record in enumerate(seen):
        top = MARGIN / 2 + number * ROW
        if number:
            axes.plot([MARGIN, WIDTH - MARGIN], [top - 4, top - 4], color=EDGE, lw=points(1))
        _draw(axes, record, top)
    return Picture(axes.figure, f"Path of a request. {' '.join(map(_told, seen))}")


def _draw(axes: Axes, seen: SeenRequest, top: float) -> None:
    _write(axes, MARGIN, top + HEAD / 2, _shortened(seen.name, TITLE_WIDTH), weight="bold", size=TEXT + 1)
    asked = urlsplit(seen.url)
    between = (WIDTH - 2 * MARGIN - sum(BOX_WIDTHS)) / 2
    lefts = [MARGIN, MARGIN + BOX_WIDTHS[0] + between, WIDTH - MARGIN - BOX_WIDTHS[2]]
    boxes = [(left, top + HEAD, width) for left, width in zip(lefts, BOX_WIDTHS, strict=True)]

    asks = f"asks, by {asked.scheme} and from its address,"
    _box(axes, boxes[0], "client", asks, [asked.netloc, *(f"claims {line}" for line in _lines(seen.claimed))])
    _box(axes, boxes[1], "proxy", "ends TLS, and passes on", _lines(seen.passed))
    _box(axes, boxes[2], "application", "is sent http by the proxy, and believes", [])
    for line, (text, right) in enumerate(_beliefs(seen), start=2):
        _judged(axes, boxes[2][0] + PADDING, _line(boxes[2][1], line), text, right, boxes[2][2] - 2 * PADDING)

    for (left, _, width), (right, _, _), scheme in zip(boxes, boxes[1:], (asked.scheme, "http"), strict=False):
        y = top + HEAD + BOX / 2
        _arrow(axes, (left + width, y), (right, y), BLUE if scheme == "https" else INK)
        axes.text(
            (left + width + right) / 2, y - 7, scheme, ha="center", va="bottom", fontsize=points(SMALL), color=INK
        )

    y = top + HEAD + BOX + ANSWER - 8
    right = _is_right_redirect(seen)
    start, end = boxes[2][0] + boxes[2][2] / 2, boxes[0][0] + boxes[0][2] / 2
    color = GREEN if right else RED
    bottom = top + HEAD + BOX
    axes.plot([start, start, end], [bottom + 2, y, y], color=color, lw=points(1.5), ls="-" if right else (0, (4, 3)))
    _arrow(axes, (end, y), (end, bottom), color)
    text = f"redirected to {seen.location}" if seen.location else "not redirected"
    _judged(axes, end + 16, y - 11, text, right, start - end - 2 * 16)


def _lines(headers: Mapping[str, str]) -> list[str]:
    return [f"{_TITLES.get(name.lower(), name)}: {value}" for name, value in headers.items()]


def _beliefs(seen: SeenRequest) -> list[tuple[str, bool]]:
    """What the application believes, and whether that is right."""
    return [
        (f"scheme: {seen.scheme}", seen.scheme == urlsplit(seen.url).scheme),
        (f"client: {seen.client}", seen.client == "the client"),
    ]


def _is_right_redirect(seen: SeenRequest) -> bool:
    asked, location = urlsplit(seen.url), urlsplit(seen.location)
    return (asked.scheme, asked.netloc) == (location.scheme, location.netloc)


def _told(seen: SeenRequest) -> str:
    claimed = f"the client claims {', '.join(_lines(seen.claimed))}; " if seen.claimed else ""
    passed = ", ".join(_lines(seen.passed))
    beliefs = ", ".join(f"{text} ({_verdict(right)})" for text, right in _beliefs(seen))
    redirect = f"It redirects to {seen.location or 'nothing'} ({_verdict(_is_right_redirect(seen))})."
    return f"{seen.name}: {claimed}the proxy passes on {passed}. The application believes {beliefs}. {redirect}"


def _verdict(right: bool) -> str:
    return "right" if right else "wrong"


# --- shapes ----------------------------------------------------------------------------------------------------------


def _box(axes: Axes, box: tuple[float, float, float], title: str, does: str, lines: Sequence[str]) -> None:
    left, top, width = box
    style = "round,pad=0,rounding_size=6"
    axes.add_patch(FancyBboxPatch((left, top), width, BOX, boxstyle=style, fc="white", ec=MUTED, lw=points(1.2)))
    _write(axes, left + PADDING, _line(top, 0), title, weight="bold")
    _write(axes, left + PADDING, _line(top, 1), does, color=MUTED, size=SMALL - 1)
    for number, text in enumerate(lines[: LINES - 2], start=2):
        _write(axes, left + PADDING, _line(top, number), _shortened(text, width - 2 * PADDING))


def _line(top: float, number: int) -> float:
    return top + PADDING + LINE * (number + 0.5)


def _judged(axes: Axes, x: float, y: float, text: str, right: bool, width: float) -> None:
    """A text with a tick or a cross before it: another shape, not another colour alone."""
    _write(axes, x, y, "✓" if right else "✗", color=GREEN if right else RED, weight="bold", size=TEXT + 1)
    _write(axes, x + MARK, y, _shortened(text, width - MARK))


def _shortened(text: str, width: float) -> str:
    """A text that is not wider; where it is, its end is left out."""
    return shortened(text, lambda part: text_width(part, SMALL) <= width)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, shrinkA=2, shrinkB=2, color=color, lw=points(1.5)
        )
    )


def _write(
    axes: Axes, x: float, y: float, text: str, *, color: str = INK, weight: str = "normal", size: float = SMALL
) -> None:
    axes.text(x, y, text, va="center_baseline", fontsize=points(size), color=color, weight=weight, parse_math=False)
