"""What a swarm's nodes need no engine to tell: who may have them, and what an error says."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from dockerlab.deploy import nodes, swarm
from dockerlab.engine.discovery import Engine
from dockerlab.errors import SwarmFailed, SwarmNotAllowed

OWN = Engine(
    url="unix:///var/run/docker.sock",
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


def lab(engine):
    return SimpleNamespace(engine=engine)


@pytest.fixture(autouse=True)
def no_switch(monkeypatch):
    monkeypatch.delenv(nodes.SWITCH, raising=False)


def test_the_laboratorys_own_engine_may_run_privileged_containers():
    nodes.require_privileged(lab(replace(OWN, source="embedded")))


def test_the_users_engine_may_not_and_the_error_names_the_switch():
    with pytest.raises(SwarmNotAllowed, match=r"Docker Engine 29\.1\.3") as refused:
        nodes.require_privileged(lab(OWN))
    assert f"{nodes.SWITCH}=1" in refused.value.do


@pytest.mark.parametrize(("value", "allowed"), [("1", True), ("0", False), ("", False), ("yes", False)])
def test_the_reader_may_allow_it_with_one_value_only(monkeypatch, value, allowed):
    monkeypatch.setenv(nodes.SWITCH, value)
    if allowed:
        nodes.require_privileged(lab(OWN))
    else:
        with pytest.raises(SwarmNotAllowed):
            nodes.require_privileged(lab(OWN))


def test_podman_has_no_swarm_whatever_is_allowed(monkeypatch):
    monkeypatch.setenv(nodes.SWITCH, "1")
    with pytest.raises(SwarmNotAllowed, match="Podman"):
        nodes.require_privileged(lab(replace(OWN, kind="podman")))


@pytest.mark.parametrize(
    ("words", "seen", "do"),
    [
        ("services.web.deploy Additional property replica is not allowed", "replica is not allowed", "no such key"),
        ("yaml: line 3: mapping values are not allowed in this context", "line 3", "not valid YAML"),
        ("open stack.yaml: no such file or directory", "stack.yaml", "Run the cell"),
        (
            'Error response from daemon: This node is not a swarm manager. Use "docker swarm init".',
            "This node is not a swarm manager",
            "docker swarm init",
        ),
        ("something else", "something else", "Look at what it says"),
        ("", "it said nothing", "Look at what it says"),
    ],
)
def test_a_failed_command_says_what_to_do(words, seen, do):
    error = nodes._failed("docker stack deploy", "node1", words)
    assert isinstance(error, SwarmFailed)
    assert "`docker stack deploy` failed on node1" in error.seen
    assert seen in error.seen
    assert "Error response from daemon" not in error.seen
    assert do in error.do


def test_what_does_not_come_to_pass_is_named():
    with pytest.raises(SwarmFailed, match=r"After 0\.2 s, it was still not true that pigs fly"):
        swarm.wait_until(lambda: False, "pigs fly", timeout=0.2)


def test_what_is_so_already_is_not_waited_for():
    swarm.wait_until(lambda: True, "it is so", timeout=0)
