"""Lessons in JupyterLab, in a real browser: some are run there, and all are read.

That each lesson runs is proven by nbval. Here three do, for what is between the kernel and the reader; all others
are opened as they are committed (`test_themes.py`).
"""

import time
from pathlib import Path

import pytest
from browser.reader import LESSON_SECONDS, Reader, errors, figures_of
from execute import lessons, read
from markdown_it import MarkdownIt
from nbformat import NotebookNode
from rules import code_cells, has_module, markdown
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
    reader.sees(f"{lesson.stem} is closed. Nothing from this lesson is left on the engine.")


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

    reader.notebook.locator("td").get_by_role("link", name="Which files does the project need").click()
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


def run(reader: Reader, *ids: str) -> None:
    for id_ in ids:
        assert not errors(reader.run_one(id_)), id_


@pytest.mark.browser
@pytest.mark.timeout(2 * LESSON_SECONDS)
def test_a_lesson_as_a_learner_takes_it(browser, jupyterlab, tmp_path):
    """Cell by cell: predict by mouse and by keyboard, type the lesson's shell lines, restart, find it all again."""
    lesson = read(DRAWN)
    ids = [cell.id for cell in code_cells(lesson)]
    reader = Reader(browser.pages[0], jupyterlab)
    reader.open(DRAWN.name)
    options = reader.notebook.locator(".dockerlab-option")
    run(reader, *ids[: ids.index("predict-exec") + 1])
    options.nth(0).click()
    options.get_by_text("●").wait_for()
    reader.sees("You predict a.")
    assert not reader.violations()
    run(reader, "stop-exec", "claim-exec", "start-shell", "predict-shell")
    reader.sees("a) At once, after its shutdown code (as measured)")
    options.nth(4).focus()
    for key in ("Tab", "Tab", "Enter"):
        reader.page.keyboard.press(key)
    reader.sees("You predict c.")

    run(reader, *ids[ids.index("stop-shell") : -1])
    reader.sees("c) After ten seconds, after its shutdown code (a surprise)")
    reader.sees("You predicted 2 of 6 measurements, 1 of them as measured.")
    figures = figures_of(code_cells(lesson))
    assert figures_of(reader.cells()) == figures > 0
    reader.sees_all(figures)
    typed_in_a_terminal(reader, shell_lines(lesson))
    task = jupyterlab.folder / DRAWN.stem / "your_turn" / "start.sh"
    task.write_text("# mine\n")
    reader.back_to(DRAWN.name)
    run(reader, ids[-1])
    reader.sees(f"{DRAWN.stem} is closed. Nothing from this lesson is left on the engine.")
    reader.screenshot(tmp_path / f"{DRAWN.stem}.png")

    reader.restart()
    run(reader, *ids[: ids.index("predict-exec") + 1], "exercise")
    assert options.first.text_content().startswith("●")
    assert task.read_text() == "# mine\n"
    run(reader, ids[-1])


def shell_lines(notebook: NotebookNode) -> list[str]:
    """The lines that a lesson's text gives to a terminal: its blocks of `sh`."""
    tokens = [token for text in markdown(notebook) for token in MarkdownIt().parse(text) if token.type == "fence"]
    return [line for token in tokens if token.info == "sh" for line in token.content.splitlines()]


def typed_in_a_terminal(reader: Reader, lines: list[str]) -> None:
    """Type each line as it stands, and see that it ends well."""
    assert lines
    ended = reader.server.folder / "ended.txt"
    ended.unlink(missing_ok=True)
    reader.type_into_terminal("\n".join(f"{line}\necho $? >> {ended}" for line in lines))
    deadline = time.monotonic() + 60
    while not ended.exists() or len(ended.read_text().split()) < len(lines):
        assert time.monotonic() < deadline, "the terminal does not come to the end"
        reader.page.wait_for_timeout(100)
    assert dict(zip(lines, ended.read_text().split(), strict=True)) == dict.fromkeys(lines, "0")


@pytest.mark.browser
@pytest.mark.timeout(LESSON_SECONDS)
def test_each_shell_line_of_a_lesson_works_in_a_terminal(browser, jupyterlab):
    """With what the lesson has when its lab is open and its files are written. An audit, which takes a minute, not."""
    reader = Reader(browser.pages[0], jupyterlab)
    typed = {path: shell_lines(read(path)) for path in lessons() if path != DRAWN and has_module(path.stem)}
    assert sum(map(bool, typed.values())) > 3
    for path, lines in typed.items():
        if lines:
            cells = code_cells(read(path))
            reader.open(path.name)
            run(reader, cells[0].id, *(cell.id for cell in cells if cell.source.startswith("%%writefile")))
            typed_in_a_terminal(reader, [line for line in lines if not line.startswith("dockerlab audit")])
            reader.back_to(path.name)
            run(reader, cells[-1].id)


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
