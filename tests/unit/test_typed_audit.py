"""How lesson 09 types `dockerlab audit`: it reads the card that is printed, and takes no exit code but 0 and 1."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from dockerlab import engine
from dockerlab.audit.reports import render
from dockerlab.claims import lesson as lessons
from dockerlab.claims.lesson_09 import TypedAudit, turned, typed
from dockerlab.errors import LabError
from dockerlab.records import VERDICTS, Audit, Finding

OBSERVED = "observed in so many words that the line is longer than the terminal is wide " * 3


@pytest.mark.parametrize("width", [60, 120])
def test_the_verdicts_are_read_from_the_card_as_it_is_printed(width):
    expected = {f"check-{number}": verdict for number, verdict in enumerate(VERDICTS)}
    checks = tuple(Finding(id_, verdict, OBSERVED, "why", "fix") for id_, verdict in expected.items())
    card = render(Audit("0.1.0", "project", "Dockerfile", (), checks), "table", width=width)
    printed = TypedAudit(1, card + "--- a/Dockerfile\n+++ b/Dockerfile\n+USER 10001\n")
    assert printed.verdicts == expected
    assert printed.count("fail") == 1
    assert printed.diff == "--- a/Dockerfile\n+++ b/Dockerfile\n+USER 10001"
    assert TypedAudit(0, card).diff == ""


def test_what_turned_is_told_and_what_was_left_out_is_not():
    before = {"pid-1": "fail", "memory": "pass", "health-check": "warn"}
    after = {"pid-1": "pass", "memory": "pass"}
    assert turned(before, after) == [{"check": "pid-1", "before": "fail", "after": "pass"}]


@pytest.fixture
def lab(tmp_path):
    return SimpleNamespace(workspace=tmp_path, base_image="base:1")


@pytest.mark.parametrize("exit_code", [0, 1])
def test_it_runs_in_the_folder_of_the_lesson_and_prints_no_colors(lab, exit_code, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    (lab.workspace / "line.py").write_text(
        "import os, sys\n"
        "print(os.environ['BASE_IMAGE'], os.environ['COLUMNS'], 'FORCE_COLOR' in os.environ)\n"
        f"sys.exit({exit_code})\n"
    )
    ended = typed(lab, f"{sys.executable} line.py")
    assert (ended.exit_code, ended.printed) == (exit_code, "base:1 120 False\n")


def test_another_exit_code_is_an_error_in_the_words_of_the_command(lab):
    (lab.workspace / "line.py").write_text(
        "import sys\nprint('Building …\\nThere is no project here.\\nName one.', file=sys.stderr)\nsys.exit(2)\n"
    )
    with pytest.raises(LabError) as told:
        typed(lab, f"{sys.executable} line.py")
    assert str(told.value) == "There is no project here.\nName one."


def test_what_a_lesson_types_finds_the_command_after_all_others(monkeypatch):
    lab = SimpleNamespace(lesson="99_toy", id="0123abcd", base_image="base:1", cli_project="shop-0123abcd")
    monkeypatch.setattr(engine, "shell_environment", lambda: {"PATH": "/bin"})
    path = lessons._environment(lab)["PATH"]
    assert path.split(os.pathsep)[0] == "/bin"
    assert Path(path.split(os.pathsep)[1], "dockerlab").exists()
    monkeypatch.setattr(engine, "shell_environment", lambda: {"PATH": path})
    assert lessons._environment(lab)["PATH"] == path, "opened again, it does not grow"
