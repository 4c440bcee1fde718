"""What tests share. A test that needs an engine and finds none fails: it is never skipped."""

import contextlib

import docker
import dockerlab.engine
import pytest
from dockerlab import open_lab


@pytest.fixture(scope="session")
def engine():
    """The engine that the lessons would use; where there is none, the embedded one, as in a lesson."""
    return dockerlab.engine.ensure()


@pytest.fixture
def client(engine) -> docker.DockerClient:
    with contextlib.closing(engine.client()) as client:
        yield client


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """An open lab, with a workspace of its own; closed after the test."""
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.chdir(tmp_path)  # opening a lab changes the folder; this changes it back
    lab = open_lab("test")
    yield lab
    assert not lab.close().left
