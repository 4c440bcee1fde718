"""What CI runs once more, and what it does not."""

import os
import subprocess
import sys

import pytest
import rerun_failed
from lesson_files import ROOT

RUN = {"exit_code": 1, "red": ["tests/test_a.py::test_one[a: b]"], "left": []}


def test_a_test_runs_by_itself_and_a_lesson_as_a_whole():
    red = ["tests/test_a.py::test_one[a: b]", "notebooks/03_a.ipynb::stop", "notebooks/03_a.ipynb::cleanup"]
    assert rerun_failed.targets(red) == ["tests/test_a.py::test_one[a: b]", "notebooks/03_a.ipynb"]
    assert rerun_failed.refusal({**RUN, "red": red}) == ""


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (None, "did not come to its end"),
        ({**RUN, "exit_code": 2}, "exit code 2"),
        ({**RUN, "red": []}, "No test was red"),
        ({**RUN, "left": ["a container"]}, "left something"),
        ({**RUN, "red": [f"tests/test_a.py::test_{number}" for number in range(6)]}, "6 tests and lessons"),
    ],
)
def test_no_second_run(run, why):
    assert why in rerun_failed.refusal(run)


ACCIDENT = """
from pathlib import Path
import pytest

@pytest.mark.proves("claims")
def test_green():
    assert not Path("again").exists(), "runs once only"

@pytest.mark.proves("seeded faults")
def test_red_once(tmp_path, record_property):
    record_property("wrong answers", 5)
    seen = Path("seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError
"""


FAULT = "def test_fault():\n    assert False\n"


@pytest.mark.parametrize(
    ("fault", "workers"),
    [("", ["-p", "xdist", "-n", "1"]), (FAULT, [])],  # the second run knows of the first what it wrote down
    ids=["accident, xdist", "fault, alone"],
)
def test_red_once_is_green_and_red_twice_is_red(fault, workers, tmp_path):
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\naddopts = -p last_run\npythonpath = {ROOT / 'tests'} {ROOT / 'tests' / 'lessons'}\n"
    )
    (tmp_path / "test_toy.py").write_text(ACCIDENT + fault)

    def run(*command):
        env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # most plugins that are installed are slow to load
        return subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )

    first = run("-m", "pytest", *workers)
    assert first.returncode == 1
    assert "\nProven: 1 claims\n" in first.stdout
    (tmp_path / "again").touch()
    second = run(ROOT / "tests" / "rerun_failed.py")

    assert second.returncode == (1 if fault else 0), second.stdout
    assert ("Red once, and green alone" in second.stdout) == (not fault)
    assert "test_toy.py::test_red_once" in second.stdout
    assert "\nProven: 1 seeded faults · 5 wrong answers\n" in second.stdout


def test_a_run_that_is_broken_off_gets_no_second_one(tmp_path):
    (tmp_path / ".pytest_cache/v/dockerlab").mkdir(parents=True)
    (tmp_path / rerun_failed.LAST_RUN).write_text("null")
    second = subprocess.run(
        [sys.executable, ROOT / "tests" / "rerun_failed.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert second.returncode == 1
    assert "did not come to its end" in second.stdout
