"""Around a build that a cell types: the cache is warm before, and what the build leaves is noted after."""

from types import SimpleNamespace

import pytest
from docker.errors import DockerException
from dockerlab.build import builder, cli_builds
from dockerlab.lab import ledger
from IPython.core.interactiveshell import InteractiveShell

DOCKERFILE = "FROM scratch\nWORKDIR /code\nCOPY ./app /code/app\n"


@pytest.fixture
def shell():
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.system = lambda command: None  # nothing is really typed
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def noted(monkeypatch, tmp_path, shell):
    """What happens, in order, for a lab whose workspace is a temporary folder."""
    done: list[object] = []
    monkeypatch.setattr(builder, "warm_cache", lambda lab, dockerfile, *_: done.append("warm"))
    monkeypatch.setattr(ledger, "begin_build", lambda client, known, *, is_cli: done.append("begin") or tmp_path)
    monkeypatch.setattr(ledger, "end_build", lambda begun, steps: done.append(steps))
    lab = SimpleNamespace(is_open=True, workspace=tmp_path, base_image="base", client=None)
    cli_builds.watch(lab, shell)
    yield done
    cli_builds._watching.pop().end()


@pytest.mark.parametrize("line", ["!docker build .", "!docker build \\\n  --tag x .", "!docker compose up --wait"])
def test_a_build_is_noted_with_the_dockerfile_that_its_cell_wrote(noted, tmp_path, shell, line):
    shell.run_cell(
        f"from pathlib import Path\nPath({str(tmp_path / 'Dockerfile')!r}).write_text({DOCKERFILE!r})\n{line}"
    )
    assert noted == ["begin", ["WORKDIR /code", "COPY ./app /code/app"]]
    shell.run_cell(line)
    assert noted[2:4] == ["warm", "begin"]


@pytest.mark.parametrize("cell", ["!docker stop web", "1 + 1", "'docker build'", "!ls build"])
def test_any_other_cell_is_not(noted, shell, cell):
    shell.run_cell(cell)
    assert noted == []


def test_an_engine_that_does_not_answer_holds_no_cell_up(noted, tmp_path, shell, monkeypatch):
    def gone(*_):
        raise DockerException("no answer")

    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    monkeypatch.setattr(builder, "warm_cache", gone)
    assert shell.run_cell("!docker build .").success
    assert noted == []


def test_the_lab_that_is_opened_next_takes_its_place(noted, tmp_path, shell):
    other = SimpleNamespace(is_open=True, workspace=tmp_path / "other", base_image="base", client=None)
    cli_builds.watch(other, shell)
    shell.run_cell("!docker build .")
    assert noted == ["begin", []]
