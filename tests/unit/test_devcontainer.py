"""The dev container is valid to the specification's schema, runs targets that exist, and makes room for an engine."""

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).parents[2]
CONTAINER = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
CGROUPS = ROOT / ".devcontainer" / "nested_cgroups.sh"


SCHEMA = json.loads((ROOT / "tests" / "schemas" / "devContainer.base.schema.json").read_text())


def problems(container) -> list[str]:
    return [error.message for error in jsonschema.Draft201909Validator(SCHEMA).iter_errors(container)]


def test_it_is_valid():
    assert problems(CONTAINER) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"privilege": True},
        {"privileged": "yes"},
        {"mounts": [{"type": "tmpfs", "target": "/x"}]},
        {"forwardPorts": ["8888"]},
        {"portsAttributes": {"8888": {"onAutoForward": "open"}}},
        {"hostRequirements": {"memory": "4 GB"}},
        {"image": None},
    ],
)
def test_the_schema_refuses_what_it_does_not_know(wrong):
    assert problems({**CONTAINER, **wrong})


def test_what_it_says_to_the_editor_is_what_the_editor_knows():
    # The specification leaves it open what a tool may find there.
    assert {tool: set(said) for tool, said in CONTAINER["customizations"].items()} == {
        "vscode": {"extensions", "settings"}
    }


def test_it_runs_targets_of_the_makefile_and_files_that_are_there():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = " && ".join(CONTAINER[when] for when in CONTAINER if when.endswith("Command")).split(" && ")
    assert len(commands) >= 3
    for command in commands:
        program, what = command.split()
        assert what in targets if program == "make" else (program == "sh" and (ROOT / what).is_file()), command


def test_its_engine_has_what_it_needs():
    # Privileged, as an engine in a container has to be; its data on a volume, for layers do not lie on layers.
    assert CONTAINER["privileged"]
    assert CONTAINER["remoteUser"] == "root"
    assert [mount["target"] for mount in CONTAINER["mounts"] if mount["type"] == "volume"] == ["/root/.cache/dockerlab"]


def test_port_8888_is_where_jupyterlab_listens():
    assert CONTAINER["forwardPorts"] == [8888] == [int(port) for port in CONTAINER["portsAttributes"]]


def test_room_is_made_below_control_groups_of_version_2(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory pids\n")
    (tmp_path / "cgroup.procs").write_text("1\n17\n")
    for _ in range(2):
        subprocess.run(["sh", str(CGROUPS), str(tmp_path)], check=True, timeout=30)
    assert (tmp_path / "init" / "cgroup.procs").read_text().split() == ["1", "17"]
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpuset +cpu +memory +pids\n"


def test_with_version_1_nothing_is_touched(tmp_path):
    subprocess.run(["sh", str(CGROUPS), str(tmp_path)], check=True, timeout=30)
    assert list(tmp_path.iterdir()) == []
