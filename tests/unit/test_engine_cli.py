"""The command: errors are two sentences and exit code 2, never a traceback."""

import sys

import pytest
from dockerlab import cli, engine
from dockerlab.engine import diagnosis
from dockerlab.errors import EngineMissing, LabError
from typer.testing import CliRunner


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKERLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, arguments)


@pytest.fixture
def missing(monkeypatch):
    def raise_missing(*_):
        raise EngineMissing("No Docker engine was found on this Mac.", "Start it: `colima start` [now].")

    monkeypatch.setattr(engine, "ensure", raise_missing)
    monkeypatch.setattr(engine, "find", raise_missing)
    monkeypatch.setattr(diagnosis.discovery, "find", raise_missing)


@pytest.mark.parametrize("command", [["setup"], ["engine", "start"]])
def test_errors_say_what_was_seen_and_what_to_do(run, missing, command):
    result = run(*command)
    assert result.exit_code == 2
    assert result.stderr == "No Docker engine was found on this Mac.\nStart it: `colima start` [now].\n"
    assert result.stdout == ""


def test_the_doctor_says_so_too(run, missing, monkeypatch):
    monkeypatch.setattr(diagnosis, "index_problem", str)
    monkeypatch.setattr(engine, "find", lambda: pytest.fail("looked for twice"))
    result = run("doctor")
    assert result.exit_code == 2
    assert "No Docker engine was found on this Mac." in result.stdout
    assert "→ Start it: `colima start` [now]." in result.stdout


def test_status_and_stop_of_an_engine_that_does_not_run(run):
    assert run("engine", "status").exit_code == 2
    result = run("engine", "stop")
    assert (result.exit_code, result.stdout) == (0, "The embedded engine does not run.\n")


def test_nothing_to_clean(run, missing):
    result = run("clean")
    assert result.exit_code == 0
    assert "No engine runs here" in result.stdout


def test_the_index_is_asked_through_the_client_that_installs(monkeypatch, tmp_path):
    client = tmp_path / "uv"
    said = ("error: request failed", "  cause: no route to host", "hint: x")
    client.write_text("#!/bin/sh\n" + "".join(f"echo '{line}' >&2\n" for line in said) + "exit 2\n")
    client.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert diagnosis.index_problem() == "not reachable (no route to host)"
    # It trusts what the system trusts, as the one of `make setup` does: a network's own authority is nowhere else.
    client.write_text('#!/bin/sh\n[ "$UV_SYSTEM_CERTS" = 1 ]\n')
    monkeypatch.delenv("UV_SYSTEM_CERTS", raising=False)
    assert diagnosis.index_problem() == ""


def test_a_lab_error_is_shown_with_its_log(run, monkeypatch):
    def fail(_):
        raise LabError("It failed.", "Look.", log="one\ntwo")

    monkeypatch.setattr(engine, "ensure", fail)
    assert run("setup").stderr == "It failed.\n\n    one\n    two\n\nLook.\n"
