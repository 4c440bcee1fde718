"""Lessons in JupyterLab, in a real browser: some are run there, and all are read.

That each lesson runs is proven by nbval. Here three do, for what is between the kernel and the reader; all others
are opened as they are committed (`test_themes.py`).
"""

import time
from pathlib import Path

import pytest
from browser.reader import LESSON_SECONDS, Reader, errors, figures_of
from execute import lessons, read
from rules import code_cells
from test_exercises import parts, solution

FIRST, SECOND = lessons()[:2]
TYPED = next(path for path in lessons() if path.stem == "02_build_and_run")
"""The lesson whose exercise is solved by typing: a short one, with a file that JupyterLab's file browser shows."""
DRAWN = next(path for path in lessons() if path.stem == "03_exec_or_shell")
"""A lesson that draws figures and tables, and shows how far a build has come."""


def check(reader: Reader, lesson: Path) -> None:
    """Run All of the lesson that is open."""
    cells = reader.run_all()
    assert not errors(cells)
    assert [cell["id"] for cell in cells] == [cell.id for cell in code_cells(read(lesson))]
    assert [cell["count"] for cell in cells] == list(range(1, len(cells) + 1))

    assert figures_of(cells) == figures_of(code_cells(read(lesson)))
    reader.sees_all(figures_of(cells))
    reader.sees(f"{lesson.stem} is closed. Of this lesson, nothing is left on the engine.")


@pytest.mark.browser
def test_jupyterlab_opens_at_the_first_lesson_which_runs_and_leads_to_the_next(browser, jupyterlab, tmp_path):
    reader = Reader(browser.pages[0], jupyterlab, at_its_start=True)
    assert reader.shown_lesson() == FIRST.name
    names = [item.text_content() for item in reader.page.locator(".jp-DirListing-itemName").all()]
    assert names == [path.name for path in lessons()], "the reader's folder has their copies, and nothing else yet"
    reader.open(FIRST.name)
    assert not any(cell["outputs"] for cell in reader.cells())
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
def test_the_docker_command_line_works_in_a_terminal_and_in_a_notebook(browser, jupyterlab, engine):
    """It leads to the engine that the lessons use, and that is told as it was."""
    reader = Reader(browser.pages[0], jupyterlab)
    asks = "docker info | grep -w ID:"
    reader.type_into_terminal(f"(pwd; {asks}; docker compose version && dockerlab --help) > new 2>&1; mv new seen.txt")
    seen = jupyterlab.folder / "seen.txt"
    deadline = time.monotonic() + 60
    while not seen.exists():
        assert time.monotonic() < deadline, "the terminal does nothing"
        reader.page.wait_for_timeout(100)
    assert seen.read_text().splitlines()[:2] == [str(jupyterlab.folder), f" ID: {engine.id}"], seen.read_text()
    assert "doctor" in seen.read_text()

    reader.open(FIRST.name)
    cell = reader.cells()[0]["id"]
    reader.write_cell(cell, f"!{asks}\nfrom dockerlab import engine\nprint(engine.find().describe())")
    outputs = reader.run_one(cell)[0]["outputs"]
    text = "".join("".join(output["text"]) for output in outputs)
    assert text.splitlines() == [f" ID: {engine.id}", engine.describe()]


@pytest.mark.browser
@pytest.mark.timeout(LESSON_SECONDS + 100)
def test_a_lesson_that_draws_runs_in_a_browser(browser, jupyterlab, tmp_path):
    assert figures_of(code_cells(read(DRAWN)))
    reader = Reader(browser.pages[0], jupyterlab)
    reader.open(DRAWN.name)
    check(reader, DRAWN)
    reader.screenshot(tmp_path / f"{DRAWN.stem}.png")


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
    for path, text in solution(TYPED.stem, notebook, part.folder).items():
        reader.type_into(Path(TYPED.stem, path), text)
    reader.back_to(TYPED.name)
    assert not errors(reader.run_one(part.cells[-1].id))
    reader.sees("● Done.")
    assert not errors(reader.run_one(code_cells(notebook)[-1].id))
    reader.screenshot(tmp_path / f"{TYPED.stem}.png")
