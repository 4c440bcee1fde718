"""What unit tests share."""

import socket
from dataclasses import replace

import pytest
from dockerlab.engine.discovery import Engine

ENGINE = Engine(
    url="unix:///nowhere/docker.sock",
    source="default socket",
    kind="docker",
    id="A",
    version="29.1.3",
    api_version="1.52",
    os="Debian GNU/Linux 13 (trixie)",
    arch="amd64",
    storage="overlayfs",
    cgroup="2",
    rootless=False,
)


@pytest.fixture
def hung(tmp_path):
    """An engine that hangs: its socket accepts connections, and nothing is ever answered."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "docker.sock"))
        listener.listen()
        yield replace(ENGINE, url=f"unix://{tmp_path}/docker.sock")


@pytest.fixture(autouse=True)
def no_kit(monkeypatch):
    """What a test expects of a mirror and a registry does not depend on the kit of whoever runs it."""
    monkeypatch.setenv("DOCKERLAB_KIT", "")
    monkeypatch.setenv("DOCKERLAB_BASE_IMAGE", "")
