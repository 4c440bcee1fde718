"""An audit that is broken off at any moment leaves nothing; one that may not write anywhere works."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import audits
import pytest
from dockerlab.lab import cleanup

pytestmark = pytest.mark.prove

CLEAN_UP_SECONDS = 30
"""After Ctrl-C: containers are killed, the image is removed. Far more than it takes; less than a reader's patience."""

SLOW_BUILD = "ARG BASE_IMAGE=python:3.13.9-slim\nFROM ${BASE_IMAGE}\nRUN sleep 300\n"


@contextlib.contextmanager
def at(folder: Path, moment: str, seconds: float) -> Iterator[audits.Running]:
    """An audit that has reached a moment: it has told of it, and some seconds have passed."""
    with audits.started(folder) as audit:
        if moment:
            for line in audit.process.stderr:
                if moment in line.decode():
                    break
        time.sleep(seconds)
        yield audit


MOMENTS = [
    pytest.param("", 0.7, id="at the start"),
    pytest.param("Building", 0.0, id="at the build"),
    pytest.param("Building", 1.5, id="in the build"),
    pytest.param("Running", 0.0, id="at the experiments"),
    pytest.param("Running", 1.0, id="while containers start"),
    pytest.param("Running", 4.0, id="while requests are in flight"),
    pytest.param("Running", 9.0, id="while one is stopped"),
]


@pytest.mark.parametrize(("moment", "seconds"), MOMENTS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_broken_off(moment, seconds, number, tmp_path, client):
    folder = audits.copied("shell_form", tmp_path)
    with at(folder, moment, seconds) as audit:
        audit.process.send_signal(number)
        outcome = audit.end(CLEAN_UP_SECONDS)
    assert outcome.exit in (130, -number), outcome.told
    assert moment == "" or outcome.exit == 130
    assert not outcome.crashed or moment == "", outcome.told
    assert not audits.left(client, outcome.pid)


def test_broken_off_in_a_slow_build(tmp_path, client):
    (tmp_path / "Dockerfile").write_text(SLOW_BUILD)
    with at(tmp_path, "Building", 3) as audit:
        audit.interrupt()
        outcome = audit.end(CLEAN_UP_SECONDS)
    assert outcome.exit == 130
    assert not audits.left(client, outcome.pid)


@pytest.mark.parametrize("pause", [0.05, 0.5, 2.0])
def test_broken_off_twice(pause, tmp_path, client):
    """Whoever is impatient presses Ctrl-C again while it cleans up."""
    folder = audits.copied("shell_form", tmp_path)
    with at(folder, "Running", 3) as audit:
        audit.interrupt()
        time.sleep(pause)
        if audit.process.poll() is None:
            audit.interrupt()
        outcome = audit.end(CLEAN_UP_SECONDS)
    assert outcome.exit in (130, -signal.SIGINT)
    assert not audits.left(client, outcome.pid)


@pytest.mark.parametrize(("moment", "seconds"), [MOMENTS[2].values, MOMENTS[5].values], ids=["build", "experiments"])
def test_killed(moment, seconds, tmp_path, client):
    """Nobody can clean up after SIGKILL but the next audit: one that another test begins may do so at once."""
    folder = audits.copied("shell_form", tmp_path)
    with at(folder, moment, seconds) as audit:
        assert audits.left(client, audit.process.pid)
        audit.process.kill()
        outcome = audit.end(CLEAN_UP_SECONDS)
    deadline = time.monotonic() + 30
    while audits.left(client, outcome.pid):  # the engine may still be carrying out what it was asked for
        assert time.monotonic() < deadline, audits.left(client, outcome.pid)
        cleanup.sweep(client)


def test_a_closed_standard_output(tmp_path, client):
    """`dockerlab audit | head -1` closes the pipe early."""
    folder = audits.copied("app_factory", tmp_path)
    audit = shlex.join([sys.executable, "-m", "dockerlab.cli", "audit", str(folder), "--check", "starts"])
    command = f"{audit} | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written(tmp_path, client):
    """A read-only folder is as good as any; as root, whom no permission stops, it is mounted so."""
    folder = audits.copied("app_factory", tmp_path)
    before = audits.contents(folder)
    command = [sys.executable, "-m", "dockerlab.cli", "audit", "--format", "json"]
    if os.geteuid() == 0 and shutil.which("unshare"):
        mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/x" 2>/dev/null'
        mount += ' && cd "$0" && exec "$@"'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount, str(folder), *command],
            capture_output=True,
            text=True,
            timeout=180,
        )
    else:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = audits.contents(folder)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert audits.contents(folder) == before
