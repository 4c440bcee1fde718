"""The pictures of sizes and of costs: what they tell in words, and that what they draw is in proportion."""

import pytest
from dockerlab.errors import LabError
from dockerlab.figures import costs, sizes
from dockerlab.figures.draw_bars import BAR
from dockerlab.records import ImageContent, ImageLayer
from matplotlib.patches import Rectangle

PARTS = {"requirements": "packages", "uv==": "uv"}


def image(**layers):
    own = {"packages": "RUN pip install -r requirements.txt", "uv": "RUN pip install uv==1", "code": "COPY ./app /code"}
    added = tuple(ImageLayer(own[name], size) for name, size in layers.items())
    return ImageContent("any", (ImageLayer("", 50_000_000, from_base=True), *added))


def widths(picture):
    bars = [patch for patch in picture.figure.axes[0].patches if isinstance(patch, Rectangle)]
    return [bar.get_width() for bar in bars if bar.get_height() == BAR]


def texts(picture):
    return [text.get_text() for text in picture.figure.axes[0].texts]


def test_sizes_are_told_by_their_parts_and_never_in_bytes():
    picture = sizes(
        {"page": image(packages=80_000_000, code=2_000), "uv": image(uv=40_000_000, packages=60_000_000)}, PARTS
    )
    assert picture.alt == "What each image adds to its base: page: packages; uv: packages, uv."


def test_bars_are_in_proportion_and_the_base_is_drawn_once():
    picture = sizes({"page": image(packages=80_000_000), "small": image(packages=20_000_000)}, PARTS)
    base, page, small = widths(picture)
    assert page == pytest.approx(4 * small)
    assert base == pytest.approx(page * 50 / 80)
    assert [text for text in texts(picture) if text.endswith(" MB")] == ["50 MB", "80 MB", "20 MB"]


def test_layers_of_one_part_are_one_bar_and_other_layers_are_the_rest():
    twice = ImageContent(
        "any", (ImageLayer("RUN a requirements", 10), ImageLayer("RUN b requirements", 20), ImageLayer("x", 30))
    )
    picture = sizes({"page": twice}, PARTS)
    assert picture.alt == "What each image adds to its base: page: packages, the rest."


def test_an_image_that_adds_nothing_is_drawn():
    assert sizes({"empty": image()}, PARTS).alt == "What each image adds to its base: empty: nothing."


def test_costs_have_a_scale_for_each_column():
    picture = costs({"page": {"cold": 10.0, "start": 1.0}, "uv": {"cold": 5.0, "start": 2.0}})
    cold_page, cold_uv, start_page, start_uv = widths(picture)
    assert cold_page == pytest.approx(2 * cold_uv)
    assert start_uv == pytest.approx(2 * start_page)
    assert cold_page == pytest.approx(start_uv)
    assert picture.alt == "Seconds of cold, start, for page, uv."
    assert {"10.00 s", "5.00 s", "1.00 s", "2.00 s"} <= set(texts(picture))


def test_a_column_may_be_in_megabytes():
    picture = costs({"page": {"cold": 10.0, "cache": 68.2}}, megabytes=["cache"])
    assert {"10.00 s", "68 MB"} <= set(texts(picture))
    assert picture.alt == "Seconds of cold; MB of cache, for page."


def test_nothing_cannot_be_drawn():
    with pytest.raises(LabError, match="at least one image"):
        sizes({}, PARTS)
    with pytest.raises(LabError, match="at least one image"):
        costs({})
    with pytest.raises(LabError, match="at least one image"):
        costs({"page": {}})


def test_dollar_signs_in_names_are_text():
    assert sizes({"$a$": image(packages=1)}, PARTS).png.startswith(b"\x89PNG")
