"""A cell that fails because the engine went away says so; any other error is shown as it is."""

import re
import time
from types import SimpleNamespace

import docker
import pytest
from dockerlab.errors import BuildFailed
from dockerlab.lab import cell_errors, notebook
from IPython.core.interactiveshell import InteractiveShell

URL = "unix:///nowhere/docker.sock"


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """A shell that keeps what it would show."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = InteractiveShell()
    shell.shown = []
    shell._showtraceback = lambda kind, error, lines: shell.shown.append((kind.__name__, str(error), "\n".join(lines)))
    monkeypatch.setattr(notebook, "shell", lambda: shell)
    yield shell
    shell.history_manager.end_session()


def there(timeout=None):
    return SimpleNamespace(ping=lambda: True, close=lambda: None, api=SimpleNamespace())


def gone(timeout=None):
    return docker.DockerClient(base_url=URL, version="1.41")


@pytest.mark.parametrize("source", ["1 / 0", "import httpx; httpx.get('http://127.0.0.1:9')", "assert False, 'no'"])
def test_with_no_engine_the_error_is_that_there_is_none(shell, source):
    cell_errors.watch(SimpleNamespace(url=URL, client=gone))
    result = shell.run_cell(source)
    [(kind, told, lines)] = shell.shown
    assert kind == "EngineUnreachable"
    assert URL in told
    assert type(result.error_in_exec).__name__ in told
    assert "run the lesson from its first cell" in told
    assert "Traceback" not in lines


def test_with_an_engine_an_error_is_shown_with_the_line_it_came_from(shell):
    cell_errors.watch(SimpleNamespace(url=URL, client=there))
    shell.run_cell("one = 1\none / 0")
    [(kind, _, lines)] = shell.shown
    assert kind == "ZeroDivisionError"
    assert "one / 0" in re.sub(r"\x1b\[[\d;]*m", "", lines)
    assert "cell_errors" not in lines


def test_of_a_command_that_failed_the_last_word_is_the_command(shell):
    cell_errors.watch(SimpleNamespace(url=URL, client=there))
    shell.system_raise_on_error = True
    shell.user_ns["get_ipython"] = lambda: shell
    assert not shell.run_cell("!exit 3").success
    [(kind, told, lines)] = shell.shown
    assert (kind, "'exit 3'" in told) == ("CalledProcessError", True)
    assert len(lines.splitlines()) <= 3, lines  # and none of IPython's own


def test_a_full_disk_is_told(shell):
    cell_errors.watch(SimpleNamespace(url=URL, client=there))
    words = "mkdir /var/lib/docker/overlay2/1: no space left on device"
    shell.user_ns["error"] = docker.errors.APIError("500 Server Error", explanation=words)
    shell.run_cell("raise error")
    [(kind, told, _)] = shell.shown
    assert (kind, told.splitlines()[0]) == ("LabError", "The disk of the engine is full.")


def test_what_else_the_engine_says_is_shown_as_it_is(shell):
    cell_errors.watch(SimpleNamespace(url=URL, client=there))
    shell.user_ns["error"] = docker.errors.APIError("404 Client Error", explanation="No such image: nothing")
    shell.run_cell("raise error")
    [(kind, told, _)] = shell.shown
    assert kind == "APIError"
    assert "No such image" in told


def test_an_error_of_the_laboratory_says_enough(shell):
    cell_errors.watch(SimpleNamespace(url=URL, client=gone))
    shell.user_ns["error"] = BuildFailed("The disk was full.", "Make room.")
    shell.run_cell("raise error")
    assert shell.shown == [("BuildFailed", "The disk was full.\nMake room.", shell.shown[0][2])]


def test_an_engine_that_hangs_is_not_waited_for(shell, hung, monkeypatch):
    """Not for its version either, which the SDK asks for when a client is made."""
    monkeypatch.setattr(cell_errors, "_PATIENCE_SECONDS", 0.1)
    cell_errors.watch(hung)
    began = time.monotonic()
    shell.run_cell("prnit('a typo')")
    assert time.monotonic() - began < 30  # the SDK itself would wait for two minutes
    [(kind, told, _)] = shell.shown
    assert (kind, "NameError" in told) == ("EngineUnreachable", True)


def test_an_engine_whose_answer_is_an_error_answers(shell):
    def refuse():
        raise docker.errors.APIError("503 Server Error", explanation="busy")

    cell_errors.watch(SimpleNamespace(url=URL, client=lambda _: SimpleNamespace(ping=refuse, close=lambda: None)))
    shell.run_cell("1 / 0")
    assert shell.shown[0][0] == "ZeroDivisionError"


def test_the_last_engine_is_watched_until_its_lab_is_closed(shell):
    first, second = (SimpleNamespace(url=url, client=gone) for url in ("unix:///first", "unix:///second"))
    cell_errors.watch(first)
    cell_errors.watch(second)
    cell_errors.stop_watching(first)
    shell.run_cell("1 / 0")
    cell_errors.stop_watching(second)
    cell_errors.stop_watching(second)
    shell.run_cell("1 / 0")
    assert [kind for kind, _, _ in shell.shown] == ["EngineUnreachable", "ZeroDivisionError"]
    assert "unix:///second" in shell.shown[0][1]


def test_outside_of_a_notebook_nothing_is_done(monkeypatch):
    monkeypatch.setattr(notebook, "shell", lambda: None)
    cell_errors.watch(SimpleNamespace(url=URL, client=gone))
    cell_errors.stop_watching(SimpleNamespace(url=URL, client=gone))
