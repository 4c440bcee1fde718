"""The README promises nothing that is not there."""

import base64
import re

import readme
from execute import NOTEBOOKS, ROOT, lessons, read

TEXT = (ROOT / "README.md").read_text()


def test_its_picture_is_the_one_in_the_lesson():
    assert readme.PICTURE.read_bytes() == readme.picture(), "`make notebooks` takes it from the lesson"


def test_every_link_leads_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)", TEXT) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_lesson_is_in_the_table_with_its_own_question():
    for path in lessons():
        question = read(path).cells[0].source.splitlines()[0].removeprefix("# ")
        row = next((line for line in TEXT.splitlines() if f"(notebooks/{path.name})" in line and line[0] == "|"), None)
        assert row, f"{path.name} is not in the table of lessons"
        assert question in row, f"the row of {path.name} does not ask {question!r}"


def test_every_link_between_lessons_leads_somewhere():
    for path in lessons():
        prose = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
        targets = [link for link in re.findall(r"\]\(([^)#]+)", prose) if "://" not in link]
        assert [link for link in targets if not (NOTEBOOKS / link).exists()] == [], path.name


def test_the_picture_is_a_picture():
    assert readme.picture().startswith(base64.b64decode("iVBORw0KGgo="))
