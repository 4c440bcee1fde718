"""Run All of each lesson, in JupyterLab, in a real browser."""

from pathlib import Path

import pytest
from browser.reader import LESSON_SECONDS, Reader, errors
from execute import lessons, read
from rules import code_cells
from test_exercises import parts, solution

FIRST, SECOND = lessons()[:2]
TYPED = next(path for path in lessons() if path.stem == "02_build_and_run")
"""The lesson whose exercise is solved by typing: a short one, with a file that JupyterLab's file browser shows."""


def check(reader: Reader, lesson: Path) -> None:
    """Run All of the lesson that is open."""
    cells = reader.run_all()
    assert not errors(cells)
    assert [cell["id"] for cell in cells] == [cell.id for cell in code_cells(read(lesson))]
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))

    figures = sum("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])
    images = reader.notebook.locator(".jp-RenderedImage img").all()
    assert len(images) == figures
    for image in images:
        image.scroll_into_view_if_needed()
        assert image.is_visible()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    reader.sees(f"{lesson.stem} is closed. Of this lesson, nothing is left on the engine.")
    toasts = reader.page.locator(".jp-toast-message, .Toastify__toast").all_inner_texts()
    assert not toasts, f"JupyterLab asks something: {toasts}"
    assert not reader.problems, reader.problems


@pytest.mark.browser_quick
def test_jupyterlab_opens_at_the_first_lesson_which_runs_and_leads_to_the_next(browser, jupyterlab, tmp_path):
    reader = Reader(browser.pages[0], jupyterlab, at_its_start=True)
    assert reader.shown_lesson() == FIRST.name
    reader.open(FIRST.name)
    check(reader, FIRST)
    reader.sees("○ 00 to do")  # it was not at its end yet
    reader.run_one("progress")
    reader.sees("✓ 00 done")

    reader.notebook.get_by_role("link", name="○ 01 to do").click()
    assert reader.shown_lesson(other_than=FIRST.name) == SECOND.name
    reader.back_to(FIRST.name)
    reader.notebook.locator("p", has_text="Next:").get_by_role("link").click()
    assert reader.shown_lesson(other_than=FIRST.name) == SECOND.name
    assert not reader.problems, reader.problems


@pytest.mark.browser
@pytest.mark.timeout(LESSON_SECONDS + 100)
@pytest.mark.parametrize("lesson", [path for path in lessons()[1:] if path != TYPED], ids=lambda path: path.stem)
def test_every_other_lesson_runs_in_a_browser(browser, jupyterlab, lesson, tmp_path):
    reader = Reader(browser.pages[0], jupyterlab)
    reader.open(lesson.name)
    check(reader, lesson)
    reader.screenshot(tmp_path / f"{lesson.stem}.png")


@pytest.mark.browser
@pytest.mark.timeout(LESSON_SECONDS + 100)
def test_an_exercise_is_solved_by_typing(browser, jupyterlab, tmp_path):
    """After Run All, as a reader does: the file is changed in JupyterLab's editor, and the check is run again."""
    reader = Reader(browser.pages[0], jupyterlab)
    reader.open(TYPED.name)
    check(reader, TYPED)
    reader.sees("○ Not attempted")

    notebook = read(TYPED)
    part = parts(notebook)[0]
    for path, text in solution(notebook, part.folder).items():
        reader.type_into(Path("workspace", TYPED.stem, path), text)
    reader.back_to(TYPED.name)
    assert not errors(reader.run_one(part.cells[-1].id))
    reader.sees("● Done.")
    assert not errors(reader.run_one(code_cells(notebook)[-1].id))
    reader.screenshot(tmp_path / f"{TYPED.stem}.png")
