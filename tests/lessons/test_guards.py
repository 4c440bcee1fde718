"""Each hole that `guards.py` closes is planted in a small notebook, and pytest, configured as it is, must see red."""

import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import guards
import nbformat
import pytest
import toy
from execute import lessons
from nested import NO_ENGINE, Result, Run, run
from toy import claim, code

SECONDS = 3
SHORTER = """
import guards

# nbval waits five seconds for what an interrupted cell still has to say.
guards.Cell.output_timeout = property(lambda cell: 2, lambda cell, seconds: None)
"""

SWALLOWS = """
import time
try:
    time.sleep(60)
except KeyboardInterrupt:
    pass
"""
ENDLESS = """
import time
while True:
    try:
        time.sleep(0.5)
        print("still here")
    except KeyboardInterrupt:
        pass
"""
OPENS = """
from dockerlab import open_lab
lab = open_lab("no_engine")
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Run:
    """All holes, with no engine, in two runs side by side: in one, cells do not end, and the timeout is short."""
    folder, endless = tmp_path_factory.mktemp("planted"), tmp_path_factory.mktemp("endless")
    toy.write(folder, "good", claim(), code("after", "print('after')\n'silenced';", out="after"))
    toy.write(folder, "differs", claim(), code("wrong", "print('new')", out="old"), code("after", "1 / 0"))
    toy.write(folder, "raises", code("wrong", "1 / 0"), code("after", "1 / 0"), claim())
    toy.write(folder, "dies", code("wrong", "import os; os._exit(1)"), code("after", "1 / 0"), claim())
    toy.write(endless, "swallows", code("wrong", SWALLOWS), code("after", "1 / 0"), claim())
    toy.write(endless, "endless", code("wrong", ENDLESS), code("after", "1 / 0"), claim())
    (endless / "conftest.py").write_text(SHORTER)
    toy.write(folder, "no_engine", code("wrong", OPENS), claim())
    (folder / "test_no_engine.py").write_text("def test_lab(lab): pass\n")
    stripped = toy.lesson("stripped", claim())
    for cell in stripped.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(stripped, folder / "stripped.ipynb")
    with ThreadPoolExecutor() as pool:
        short = pool.submit(run, endless, f"--nbval-cell-timeout={SECONDS}", env=NO_ENGINE)
        long = run(folder, "--nbval-cell-timeout=60", env=NO_ENGINE)
        return Run(long.code, long.text, long.results | short.result().results)


def test_a_run_does_not_compile_a_grammar_that_it_does_not_need():
    assert "nbval.plugin" in sys.modules
    assert sys.modules["rfc3987_syntax"] is None


def test_every_lesson_is_part_of_every_run(pytestconfig):
    assert lessons()
    assert "notebooks" in pytestconfig.getini("testpaths")


def test_a_good_lesson_passes(planted):
    good = {test: result for test, result in planted.results.items() if test.startswith("good::")}
    assert good == {f"good::{cell}": Result("passed") for cell in ("form", "setup", "claim", "after", "cleanup")}


def test_a_stripped_notebook_is_red(planted):
    assert planted["stripped::form"].outcome == "failure"
    assert "not run in order" in planted["stripped::form"].message


@pytest.mark.parametrize(
    ("lesson", "message"),
    [
        ("differs", "Cell outputs differ"),
        ("raises", "ZeroDivisionError"),
        ("dies", "The kernel died"),
        ("swallows", f"not done after {SECONDS} s"),
        ("endless", f"Timeout of {SECONDS} seconds"),
    ],
)
def test_a_cell_that_fails_is_red_and_the_next_does_not_run(planted, lesson, message):
    assert planted[f"{lesson}::wrong"].outcome == "failure"
    assert message in planted[f"{lesson}::wrong"].message
    assert planted[f"{lesson}::after"].outcome == "skipped"
    assert "wrong failed" in planted[f"{lesson}::after"].message


@pytest.mark.parametrize("lesson", ["differs", "raises", "swallows"])
def test_the_clean_up_runs_after_a_failed_cell_while_there_is_a_kernel(planted, lesson):
    assert planted[f"{lesson}::cleanup"].outcome == "passed"


def test_without_an_engine_a_lesson_and_a_test_fail(planted):
    assert planted["no_engine::wrong"].outcome == "failure"
    assert planted["test_no_engine::test_lab"].outcome == "error"
    assert "EngineUnreachable" in planted["test_no_engine::test_lab"].message


@pytest.mark.parametrize(("dist", "is_refused"), [("load", True), ("worksteal", True), ("loadscope", False)])
def test_a_distribution_that_tears_notebooks_apart_is_refused(dist, is_refused):
    node = SimpleNamespace(config=SimpleNamespace(option=SimpleNamespace(dist=dist)))
    guards.pytest_xdist_node_collection_finished(node, ["tests/test_unit.py::test"])
    if is_refused:
        with pytest.raises(pytest.UsageError, match="tears notebooks apart"):
            guards.pytest_xdist_node_collection_finished(node, ["notebooks/03.ipynb::setup"])
    else:
        guards.pytest_xdist_node_collection_finished(node, ["notebooks/03.ipynb::setup"])
