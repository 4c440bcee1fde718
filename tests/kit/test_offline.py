"""With a kit and no network at all: from a clone to the lessons, in a network namespace that has only loopback.

The kit is the one that is named or lies here (`DOCKERLAB_KIT`); where there is none, one is made first, with a network.
"""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import last_run
import pytest
from dockerlab import folders, wait
from dockerlab.engine import kit as kits
from dockerlab.engine import portable
from dockerlab_kit import lab_source, making
from kit import offline

LESSONS = [
    Path(name).name for name in lab_source.files(folders.NOTEBOOKS.parent) if Path(name).match("notebooks/*.ipynb")
]
pytestmark = [
    pytest.mark.prove,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own, and the embedded engine, need root"),
]


@pytest.fixture(scope="module")
def kit(tmp_path_factory, engine) -> Path:
    if found := kits.find():
        return found.folder
    folder = tmp_path_factory.mktemp("bundle") / "it's, a kit"
    with contextlib.closing(engine.client()) as client:
        making.make(folder, client)
    return folder


@pytest.fixture(scope="module")
def machine(tmp_path_factory, kit):
    with offline.machine(tmp_path_factory.mktemp("offline"), kit) as machine:
        yield machine


def damaged(kit: Path, folder: Path, name: str) -> Path:
    """A kit in which one file lacks its last byte; the others are the same files."""
    subprocess.run(["cp", "-a", "--reflink=auto", kit, folder], check=True, timeout=300)
    os.truncate(folder / name, (folder / name).stat().st_size - 1)
    return folder


def test_there_is_no_network(machine):
    shown = machine.run("ip", "-brief", "address").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["lo"]
    asked = machine.run("python3", "-c", "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)")
    assert "unreachable" in asked.stdout


def test_a_damaged_kit_is_refused_before_anything_is_done(machine, tmp_path):
    _, about = portable.read(machine.kit)
    name = about["engine"][0]
    bad = damaged(machine.kit, tmp_path / "bad", name)
    result = machine.run("make", "setup", DOCKERLAB_KIT=str(bad))
    assert result.returncode != 0
    assert f"{name} is truncated" in result.stdout
    assert not (machine.clone / ".venv").exists()
    assert not Path(machine.environ["DOCKERLAB_CACHE"]).exists()


def test_make_setup(machine):
    began = time.monotonic()
    result = machine.run("make", "setup")
    print(f"{time.monotonic() - began:.0f} s")
    assert result.returncode == 0, result.stdout
    assert "unpacks the one in the kit" in result.stdout
    assert "(kit)" in result.stdout
    again = machine.run("make", "setup")
    assert again.returncode == 0, again.stdout
    assert "loading" not in again.stdout


def test_make_lab(machine):
    lab = subprocess.Popen(
        machine.command("make", "lab"),
        cwd=machine.clone,
        env=machine.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    ask = "import urllib.request as u; print(u.urlopen('http://localhost:8888/api', timeout=5).read())"
    try:
        for _ in wait.tries(120, every=0.5):
            if "version" in machine.run("python3", "-c", ask).stdout:
                break
            assert lab.poll() is None, "make lab ended"
        else:
            pytest.fail("JupyterLab does not answer")
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        lab.wait(timeout=60)


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson(machine, lesson, record_property):
    """Executed, and strictly compared with its output, as `make test` does."""
    began = time.monotonic()
    result = machine.run(".venv/bin/pytest", "-q", "-p", "no:cacheprovider", f"notebooks/{lesson}")
    print(f"{lesson}: {time.monotonic() - began:.0f} s")
    assert result.returncode == 0, result.stdout[-6000:]
    for what, count in last_run.counted(result.stdout).items():
        record_property(what, count)


@pytest.mark.timeout(3600)
def test_whole_make_test(machine):
    """Units, engine, each lesson against its output, in one piece: what a maintainer runs, on a machine like this."""
    result = machine.run("make", "test", seconds=3500)
    print(result.stdout[-6000:])
    assert result.returncode == 0
