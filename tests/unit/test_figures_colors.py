"""What is drawn stands out from its ground, and all colors are those of one module."""

import itertools
import re

import pytest
from dockerlab.figures import colors
from dockerlab.folders import NOTEBOOKS


def luminance(color):
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(*two):
    """As the Web Content Accessibility Guidelines 2.2 define it."""
    darker, lighter = sorted(map(luminance, two))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(("text", "ground"), [*itertools.product(colors.TEXTS, colors.GROUNDS)])
def test_texts_can_be_read(text, ground):
    assert contrast(text, ground) >= 4.5


@pytest.mark.parametrize(("shape", "ground"), [*itertools.product(colors.SHAPES, colors.GROUNDS)])
def test_shapes_can_be_seen(shape, ground):
    assert contrast(shape, ground) >= 3


def test_the_card_does_not_glare_on_a_dark_page():
    assert contrast(colors.CARD, "#111111") < contrast("#ffffff", "#111111") * 0.85


def test_a_figure_has_no_colors_of_its_own():
    sources = [file for file in (NOTEBOOKS / "dockerlab/figures").glob("*.py") if file.name != "colors.py"]
    assert len(sources) > 5
    for file in sources:
        assert not re.findall(r"""["'](?:#[0-9a-fA-F]{3,8}|white|black|gr[ae]y)["']""", file.read_text()), file.name
