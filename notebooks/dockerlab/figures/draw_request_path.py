"""The path of a request: from the client through the proxy to the application, and what each of them knew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..records import SeenRequest
from . import colors
from .picture import MARGIN, SMALL, TEXT, WIDTH, Canvas, Picture, points, shortened, text_width

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
ROW = HEAD + BOX + ANSWER + 16
DASHES = (4, 3)

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
    canvas = Canvas(len(seen) * ROW + MARGIN)
    for number, record in enumerate(seen):
        top = MARGIN / 2 + number * ROW
        if number:
            canvas.line([MARGIN, WIDTH - MARGIN], [top - 4, top - 4], colors.EDGE)
        _draw(canvas, record, top)
    return canvas.picture(f"Path of a request. {' '.join(map(_alt, seen))}")


def _draw(canvas: Canvas, seen: SeenRequest, top: float) -> None:
    canvas.text(MARGIN, top + HEAD / 2, _shortened(seen.name, TITLE_WIDTH), TEXT + 1, weight="bold")
    url = urlsplit(seen.url)
    between = (WIDTH - 2 * MARGIN - sum(BOX_WIDTHS)) / 2
    lefts = (MARGIN, MARGIN + BOX_WIDTHS[0] + between, WIDTH - MARGIN - BOX_WIDTHS[2])
    client, proxy, application = ((left, top + HEAD, width) for left, width in zip(lefts, BOX_WIDTHS, strict=True))

    request = f"asks, by {url.scheme} and from its address,"
    _box(canvas, client, "client", request, [url.netloc, *(f"claims {line}" for line in _lines(seen.claimed))])
    _box(canvas, proxy, "proxy", "ends TLS, and passes on", _lines(seen.passed))
    _box(canvas, application, "application", "is sent http by the proxy, and believes", [])
    left, bottom, width = application[0], top + HEAD + BOX, application[2]
    for line, (text, is_right) in enumerate(_conclusions(seen), start=2):
        _judged(canvas, left + PADDING, _line(top + HEAD, line), text, is_right, width - 2 * PADDING)

    for sender, receiver, scheme in ((client, proxy, url.scheme), (proxy, application, "http")):
        start, end, y = sender[0] + sender[2], receiver[0], top + HEAD + BOX / 2
        _arrow(canvas, (start, y), (end, y), colors.BLUE if scheme == "https" else colors.INK)
        canvas.text((start + end) / 2, y - 7, scheme, SMALL, ha="center", va="bottom")

    is_right = _is_right_redirect(seen)
    color = colors.GREEN if is_right else colors.RED
    start, end, y = left + width / 2, client[0] + client[2] / 2, bottom + ANSWER - 8
    canvas.line([start, start, end], [bottom + 2, y, y], color, 1.5, dashes=() if is_right else DASHES)
    _arrow(canvas, (end, y), (end, bottom), color)
    text = f"redirected to {seen.location}" if seen.location else "not redirected"
    _judged(canvas, end + 16, y - 11, text, is_right, start - end - 2 * 16)


def _lines(headers: Mapping[str, str]) -> list[str]:
    return [f"{_TITLES.get(name.lower(), name)}: {value}" for name, value in headers.items()]


def _conclusions(seen: SeenRequest) -> list[tuple[str, bool]]:
    """What the application takes to be so, and whether that is right."""
    return [
        (f"scheme: {seen.scheme}", seen.scheme == urlsplit(seen.url).scheme),
        (f"client: {seen.client}", seen.client == "the client"),
    ]


def _is_right_redirect(seen: SeenRequest) -> bool:
    url, location = urlsplit(seen.url), urlsplit(seen.location)
    return (url.scheme, url.netloc) == (location.scheme, location.netloc)


def _alt(seen: SeenRequest) -> str:
    claimed = f"the client claims {', '.join(_lines(seen.claimed))}; " if seen.claimed else ""
    passed = ", ".join(_lines(seen.passed))
    conclusions = ", ".join(f"{text} ({_verdict(is_right)})" for text, is_right in _conclusions(seen))
    redirect = f"It redirects to {seen.location or 'nothing'} ({_verdict(_is_right_redirect(seen))})."
    return f"{seen.name}: {claimed}the proxy passes on {passed}. The application believes {conclusions}. {redirect}"


def _verdict(is_right: bool) -> str:
    return "right" if is_right else "wrong"


# --- shapes ----------------------------------------------------------------------------------------------------------


def _box(canvas: Canvas, box: tuple[float, float, float], title: str, does: str, lines: Sequence[str]) -> None:
    """A box with text. Its place is its left, its top and its width."""
    left, top, width = box
    style = "round,pad=0,rounding_size=6"
    canvas.axes.add_patch(
        FancyBboxPatch((left, top), width, BOX, boxstyle=style, fc=colors.PAPER, ec=colors.MUTED, lw=points(1.2))
    )
    canvas.text(left + PADDING, _line(top, 0), title, SMALL, weight="bold")
    canvas.text(left + PADDING, _line(top, 1), does, SMALL - 1, colors.MUTED)
    for number, text in enumerate(lines[: LINES - 2], start=2):
        canvas.text(left + PADDING, _line(top, number), _shortened(text, width - 2 * PADDING), SMALL)


def _line(top: float, number: int) -> float:
    return top + PADDING + LINE * (number + 0.5)


def _judged(canvas: Canvas, x: float, y: float, text: str, is_right: bool, width: float) -> None:
    """A text with a tick or a cross before it: another shape, not another color alone."""
    canvas.text(x, y, "✓" if is_right else "✗", TEXT + 1, colors.GREEN if is_right else colors.RED, weight="bold")
    canvas.text(x + MARK, y, _shortened(text, width - MARK), SMALL)


def _shortened(text: str, width: float) -> str:
    """A text that is not wider; where it is, its end is left out."""
    return shortened(text, lambda part: text_width(part, SMALL) <= width)


def _arrow(canvas: Canvas, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    arrow = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=11, shrinkA=2, shrinkB=2, color=color, lw=points(1.5)
    )
    canvas.axes.add_patch(arrow)
