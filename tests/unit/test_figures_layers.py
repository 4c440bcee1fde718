"""The picture of layers: what it says in words, and that nothing in it is cut or overlaps."""

import io
import itertools
import sys

import matplotlib
import pytest
from dockerlab.errors import LabError
from dockerlab.figures import layers
from dockerlab.figures.picture import CARD, shortened, text_width
from dockerlab.records import Build, Step
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from IPython.utils.capture import capture_output
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from PIL import Image

FIRST = ["FROM ${BASE_IMAGE}", "WORKDIR /code", "COPY ./requirements.txt /code/requirements.txt"]
PIP = "RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt"


def build(name="app", *, cached=4, steps=(*FIRST, PIP, "COPY ./app /code/app"), seconds=9.87):
    """A build whose first steps came from the cache."""
    made = tuple(Step(text, i < cached, 0.0 if i < cached else seconds) for i, text in enumerate(steps))
    return Build(name, "image", "sha256:12", seconds + 0.25, made, "buildkit", 100)


def many(number):
    events = ["first build", "no change", "code change", "dependency change", "changed permissions"]
    names = [f"{project}, {event}" for project in ("requirements first", "copy everything") for event in events]
    return {name: build(cached=i % 6) for i, name in enumerate(names[:number])}


def texts(picture):
    """Each text of the figure and the box that it takes, in pixels of the image."""
    renderer = FigureCanvasAgg(picture.figure).get_renderer()
    found = [text for axes in picture.figure.axes for text in axes.texts if text.get_text()]
    return {text: text.get_window_extent(renderer) for text in found}


def test_in_words_it_tells_what_was_built_and_no_seconds():
    picture = layers([build("good", cached=4), build("bad", cached=2), build("same", cached=5)], title="A change.")
    assert repr(picture) == (
        "A change. good: built COPY ./app; cached COPY ./requirements.txt, RUN pip install. "
        "bad: built COPY ./requirements.txt, RUN pip install, COPY ./app; nothing cached. same: all cached."
    )


def test_the_words_are_the_same_whatever_else_the_engine_has_built():
    assert layers([build(cached=2)]).alt == layers([build(cached=1)]).alt == layers([build(cached=0)]).alt


def test_the_names_of_a_mapping_are_shown():
    shown = [text.get_text() for text in texts(layers({"a code change": build(), "none": build(cached=5)}))]
    assert {"a code change", "none"} <= set(shown)
    assert "app" not in shown


def test_cached_and_built_differ_by_more_than_color():
    shown = [text.get_text() for text in texts(layers([build(cached=4)]))]
    assert shown.count("cached") == 4
    assert shown.count("built  9.9 s") == 1
    hatches = [patch.get_hatch() for axes in layers([build(cached=4)]).figure.axes for patch in axes.patches]
    assert sum(bool(hatch) for hatch in hatches) == 4 + 1  # and one in the legend


def assert_legible(picture):
    """No text is cut at the edge of the card, or overlaps another."""
    boxes = texts(picture)
    whole = picture.figure.bbox
    for text, box in boxes.items():
        assert whole.x0 < box.x0 < box.x1 < whole.x1, text
        assert whole.y0 < box.y0 < box.y1 < whole.y1, text
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        assert not a.padded(-1).overlaps(b.padded(-1)), (one, other)


@pytest.mark.parametrize("number", [1, 2, 3, 5, 6, 7, 10])
def test_no_text_is_cut_or_overlaps_another(number):
    assert_legible(layers(many(number)))


def test_a_long_name_takes_the_lines_that_it_needs():
    assert_legible(layers({f"{name} and then some words that need more lines": build() for name in many(5)}))


@pytest.mark.parametrize("number", [2, 10])
def test_instructions_stay_inside_their_blocks(number):
    picture = layers(many(number))
    blocks = [patch.get_window_extent() for axes in picture.figure.axes for patch in axes.patches]
    for text, box in texts(picture).items():
        if text.get_fontfamily() == ["monospace"]:
            assert any(b.x0 <= box.x0 and box.x1 <= b.x1 and b.y0 <= box.y0 and box.y1 <= b.y1 for b in blocks), text


def test_long_names_and_instructions_with_dollars_are_drawn_as_they_are():
    steps = ("FROM ${A}$x^2$", "RUN " + "very-long-" * 30, "COPY $a $b")
    picture = layers({"a very long name without any end " * 3: build(steps=steps, cached=1), "b": build()})
    shown = " ".join(text.get_text() for text in texts(picture))
    assert "${A}$x^2$" in shown
    assert not any(text.get_parse_math() for text in texts(picture)), "what is between two dollars would be mathematics"
    assert "…" in shown
    assert picture.png


def test_ten_builds_are_two_rows_of_five():
    columns = {
        round(box.x0) for text, box in texts(layers(many(10))).items() if text.get_text().startswith("all steps")
    }
    assert len(columns) == 5


@pytest.mark.parametrize("builds", [[], {}, [build("a"), build("a")]])
def test_builds_need_names_of_their_own(builds):
    with pytest.raises(LabError, match="a name of its own"):
        layers(builds)


def test_the_picture_is_sharp_opaque_and_has_its_text():
    picture = layers([build()])
    data, metadata = picture._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == picture.alt
    with Image.open(io.BytesIO(data["image/png"])) as image:
        assert image.size == (2 * metadata["image/png"]["width"], 2 * metadata["image/png"]["height"])
        red, green, blue, alpha = image.convert("RGBA").getpixel((10, 10))
    assert (to_hex((red / 255, green / 255, blue / 255)), alpha) == (CARD, 255)


def test_a_notebook_shows_the_words_of_a_picture_below_it():
    InteractiveShell.instance()
    picture = layers({"<one>": build()})
    with capture_output() as shown:
        display(picture)
    image, words = shown.outputs
    assert {*image.data} == {"text/plain", "image/png"}
    assert "&lt;one&gt;" in words.data["text/html"]
    assert picture.alt not in words.data["text/html"]
    InteractiveShell.clear_instance()


def test_nothing_global_is_touched():
    before = dict(matplotlib.rcParams)
    layers([build()]).png  # noqa: B018
    assert dict(matplotlib.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_spaces_count_in_the_width_of_a_text():
    assert text_width("a b", 10) > text_width("ab", 10)
    assert text_width("ab ", 10) > text_width("ab", 10)
    assert text_width("", 10) == 0


@pytest.mark.parametrize(("room", "expected"), [(9, "abcdefgh"), (8, "abcdefgh"), (7, "abcdef…"), (1, "…"), (0, "…")])
def test_a_text_is_shortened_to_what_fits(room, expected):
    assert shortened("abcdefgh", lambda text: len(text) <= room) == expected


def test_a_long_text_is_measured_a_few_times():
    measured = []

    def fits(text):
        measured.append(text)
        return len(text) <= 300

    assert len(shortened("a" * 1000, fits)) == 300
    assert len(measured) < 15
