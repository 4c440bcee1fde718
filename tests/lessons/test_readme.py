"""The README promises nothing that is not there."""

import base64
import re

import readme
from dockerlab.lab.lessons import lessons as all_lessons
from execute import NOTEBOOKS, ROOT, lessons, read

TEXT = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "workshop" / "TEACHING.md").read_text()


def test_its_picture_is_the_one_in_the_lesson():
    assert readme.PICTURE.read_bytes() == readme.picture(), "`make notebooks` takes it from the lesson"


def test_every_link_leads_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)", TEXT) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def rows(text: str) -> list[list[str]]:
    """The cells of each row of each table."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|-")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_lessons_has_each_with_its_own_question_and_minutes():
    found = [row for row in rows(TEXT) if row[0].startswith("[0")]
    asked = [[f"[{each.number}](notebooks/{each.name}.ipynb)", each.question, each.time] for each in all_lessons()]
    assert [[row[0], row[1], row[3]] for row in found] == asked


def test_the_guide_for_instructors_has_the_minutes_of_the_lessons():
    """In its schedules: minutes, lesson, what to run. All of a lesson takes what the lesson says, a part no more."""
    lessons_ = {f"[{each.number}](../notebooks/{each.name}.ipynb)": each for each in all_lessons()}
    schedule = [row for row in rows(GUIDE) if row[0].isdecimal()]
    assert len(schedule) > 10
    for minutes, names, run, _ in schedule:
        is_exercise = run.startswith("Your turn")
        with_exercises = is_exercise or "exercise" in run
        whole = max(
            (0 if is_exercise else each.minutes) + (each.exercise_minutes if with_exercises else 0)
            for each in (lessons_[name] for name in names.split(" or "))
        )
        is_part = not is_exercise and not run.startswith("all")
        assert int(minutes) == whole or (is_part and int(minutes) < whole), f"{names}, {run}: {minutes} of {whole}"


def test_each_lesson_says_how_long_it_takes():
    assert [each.name for each in all_lessons() if not each.minutes or not each.question] == []


def test_every_link_between_lessons_leads_somewhere():
    for path in lessons():
        prose = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
        targets = [link for link in re.findall(r"\]\(([^)#]+)", prose) if "://" not in link]
        assert [link for link in targets if not (NOTEBOOKS / link).exists()] == [], path.name


def test_the_picture_is_a_picture():
    assert readme.picture().startswith(base64.b64decode("iVBORw0KGgo="))
