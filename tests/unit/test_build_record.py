"""How a build looks where it is the last thing in a cell."""

import re

from dockerlab.records import Build, Step

BUILD = Build(
    name="app",
    image="dockerlab/0a1b2c3d:app",
    image_id="sha256:12",
    seconds=9.5,
    steps=(
        Step("FROM ${BASE_IMAGE}", True, 0.0),
        Step("RUN a && b <c>", False, 9.123),
    ),
    builder="buildkit",
    context_bytes=1234,
)


def test_as_text_it_is_a_line_for_each_step_and_tells_nothing_that_changes():
    assert repr(BUILD) == "cached FROM ${BASE_IMAGE}\nbuilt  RUN a && b <c>"


def test_as_a_table_it_has_seconds_in_the_form_that_the_lessons_tests_replace():
    html = BUILD._repr_html_()
    assert "<td>9.12 s</td>" in html
    assert "RUN a &amp;&amp; b &lt;c&gt;" in html
    assert not re.search(r"\d", re.sub(r"\d+\.\d\d s", "", html))
