"""Engines in containers: what they need, who reaches them, and that nothing is left of them."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import httpx
import pytest
from dockerlab.deploy import swarm
from dockerlab.deploy.networks import published
from dockerlab.deploy.nodes import API_PORT, SWITCH, require_privileged
from dockerlab.errors import LabError, SwarmFailed, SwarmNotAllowed
from dockerlab.lab import cleanup
from engine_snapshot import snapshot

SERVER = ["python3", "-m", "http.server", "80"]


@pytest.fixture(autouse=True)
def allowed(lab):
    """Skip on a user's own engine, unless they have allowed it."""
    try:
        require_privileged(lab)
    except SwarmNotAllowed as refused:
        pytest.skip(str(refused))


def things(lab) -> list[str]:
    """The kinds of what the engine holds of a lab, besides the volume that marks it as open."""
    return sorted(item.kind for item in cleanup.labeled(lab.client) if item.lab == lab.id)[:-1]


def test_one_node_a_swarm_of_its_own_and_nothing_left(lab):
    before = lab.client.info()["Swarm"]
    with swarm.start_nodes(lab) as nodes:
        [node] = nodes.values()
        node.run("swarm", "init")
        assert node.client.info()["Swarm"]["LocalNodeState"] == "active"
        assert lab.client.info()["Swarm"] == before  # the user's engine is not in it

        # Whoever shows no certificate of this lab's authority is not heard.
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"https://127.0.0.1:{published(node.container, API_PORT)}/version", verify=False, trust_env=False)

        with pytest.raises(SwarmFailed, match="no service 'web'"):
            swarm.tasks(node, "web")
        with pytest.raises(SwarmFailed, match="already part of a swarm") as twice:
            node.run("swarm", "init")
        assert "swarm leave" in twice.value.do

        for text, seen, do in [
            ("services:\n  web:\n    image: shop\n    deploy:\n      replica: 3\n", "replica", "no such key"),
            ("services:\n  web:\n   image: shop\n    deploy: {}\n", "yaml", "not valid YAML"),
            ("services:\n  web:\n    image: shop:${VERSION:?which}\n", "VERSION", "no value"),
        ]:
            path = lab.workspace / "stack.yaml"
            path.write_text(text)
            with pytest.raises(SwarmFailed, match=seen) as failed:
                node.run("stack", "deploy", "--compose-file", str(path), "shop")
            assert do in failed.value.do, failed.value
        with pytest.raises(SwarmFailed, match="stack deploy") as missing:
            node.run("stack", "deploy", "--compose-file", str(lab.workspace / "nowhere.yaml"), "shop")
        assert "Run the cell" in missing.value.do

        with pytest.raises(LabError, match="nowhere"):
            swarm.give([node], ["dockerlab/nowhere:1"])
        with pytest.raises(SwarmFailed, match="does not publish port 8080"):
            node.url(8080)
    assert things(lab) == ["image"]
    assert not nodes.certificates.exists()


def test_it_is_not_allowed_and_nothing_is_made(lab, monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.setattr(lab, "engine", replace(lab.engine, source="default socket"))
    with pytest.raises(SwarmNotAllowed):
        swarm.start_nodes(lab)
    assert things(lab) == []


def test_there_is_no_image_for_the_node_and_nothing_is_left(lab):
    with pytest.raises(LabError, match=r"no image dockerlab/nowhere:1 .* no node"):
        swarm.start_nodes(lab, 2, image="dockerlab/nowhere:1")
    assert things(lab) == []


def test_an_image_without_an_engine_is_no_node_and_its_log_says_why(lab):
    with pytest.raises(SwarmFailed, match="engine in node1 ended") as failed:
        swarm.start_nodes(lab, image=lab.base_image)
    assert "dockerd" in failed.value.log
    assert things(lab) == []


IN_THE_MIDDLE = f"""
import time
from dockerlab import open_lab
from dockerlab.deploy import swarm

lab = open_lab("test-killed")
[node] = swarm.start_nodes(lab).values()
node.run("swarm", "init")
swarm.give([node], [lab.base_image])
create = ["service", "create", "--detach", "--no-resolve-image", "--name", "web", "--replicas", "3"]
node.run(*create, "--update-delay", "60s", lab.base_image, *{SERVER!r})
swarm.wait_for_replicas(node, "web", 3)
node.run("service", "update", "--detach", "--force", "web")
swarm.wait_until(lambda: "updating" in str(swarm._inspect(node, "web").get("UpdateStatus")), "it updates")
print(lab.id, flush=True)
time.sleep(600)
"""


@pytest.mark.prove
def test_a_process_that_is_killed_in_the_middle_of_an_update_leaves_nothing(client, tmp_path):
    state = client.info()["Swarm"]
    environment = {**os.environ, "DOCKERLAB_WORKSPACE": str(tmp_path / "workspace")}
    process = subprocess.Popen(
        [sys.executable, "-c", IN_THE_MIDDLE], env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        lab_id = process.stdout.readline().strip()
        assert lab_id, "it ended before the update"
        mine = [item for item in cleanup.labeled(client) if item.lab == lab_id]
        assert {item.kind for item in mine} == {"container", "image", "network", "volume"}
        [node] = [client.containers.get(item.id) for item in mine if item.kind == "container"]
        anonymous = {mount["Name"] for mount in node.attrs["Mounts"]}
        assert anonymous <= snapshot(client).volumes
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        process.stdout.close()
    cleanup.sweep(client)
    assert [item for item in cleanup.labeled(client) if item.lab == lab_id] == []
    assert client.info()["Swarm"] == state
    assert anonymous.isdisjoint(snapshot(client).volumes)  # the node's own volume has no label, and no name
