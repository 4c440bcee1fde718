"""A lab leaves nothing behind, a dead one is swept, and what is not the laboratory's is never touched."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import docker
import docker.errors
import pytest
from dockerlab import labels, open_lab
from dockerlab.build import build
from dockerlab.lab import cleanup, ledger
from dockerlab.lab.lab import Lab
from dockerlab.labels import Owner
from engine_snapshot import snapshot


def everything_of(lab: Lab) -> None:
    """One container, network, volume and image of a lab."""
    lab.client.containers.run(
        lab.base_image, ["sleep", "1000"], detach=True, name=lab.name("c"), labels=lab.labels, stop_signal="SIGKILL"
    )
    lab.client.networks.create(lab.name("n"), labels=lab.labels)
    lab.client.volumes.create(lab.name("v"), labels=lab.labels)
    lab.client.containers.get(lab.name("c")).commit("dockerlab/" + lab.id, "i")


def names(client: docker.DockerClient, lab_id: str) -> list[str]:
    """Every object on the engine that has a lab's id in its name."""
    found = [item.name for item in client.containers.list(all=True, ignore_removed=True)]
    found += [item.name for item in client.networks.list()]
    found += [item.name for item in client.volumes.list()]
    # As the engine lists them: `client.images.list` asks for each again, and another test may have removed it by then.
    found += [tag for image in client.api.images() for tag in image["RepoTags"] or []]
    return [name for name in found if lab_id in name]


MACHINE = "a-machine-of-its-own"


@pytest.fixture
def own_machine(monkeypatch):
    """Have this test's labs live on another machine than those of all other tests.

    What is dead there counts as alive here: a lesson that opens beside this test does not sweep what it has prepared.
    """
    monkeypatch.setattr(socket, "gethostname", lambda: MACHINE)


def test_closing_a_lab_leaves_nothing_and_may_be_done_twice(lab, client):
    everything_of(lab)
    assert len(names(client, lab.id)) == 5  # with the volume that marks the lab as open
    assert "Nothing from this lesson is left" in repr(lab.close())
    assert names(client, lab.id) == []
    assert lab.close().left == ()


def test_the_build_cache_is_not_pruned_under_a_lab_that_has_just_been_opened(lab, client, tmp_path):
    """Another lab's end finds none open, then this one is opened, and only then the other prunes."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"ARG BASE_IMAGE\nFROM ${{BASE_IMAGE}}\nWORKDIR /of-{lab.id}\n")
    build(lab, folder, progress=False)
    lab.client.images.remove(lab.tag("project"))
    ledger.prune(client, lambda: bool(cleanup.labeled(client)))
    assert all(step.cached for step in build(lab, folder, progress=False).steps)


def test_closing_a_lab_leaves_another_one_alone(lab, client, monkeypatch, tmp_path):
    other = open_lab("other")
    everything_of(other)
    lab.close()
    assert len(names(client, other.id)) == 5
    other.close()
    assert names(client, other.id) == []


KILLED = f"""
import os, signal, socket
from dockerlab import open_lab
socket.gethostname = lambda: {MACHINE!r}
lab = open_lab("killed")
lab.client.containers.run(lab.base_image, ["sleep", "1000"], detach=True, name=lab.name("c"), labels=lab.labels)
print(lab.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_kernel_left_is_swept_when_the_next_lesson_opens(own_machine, client, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    process = subprocess.run(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, timeout=120, check=False
    )
    assert process.returncode == -signal.SIGKILL
    killed = process.stdout.split()[-1]
    assert names(client, killed)
    assert any(killed in line for line in cleanup.leftovers(client))

    open_lab("next").close()
    assert names(client, killed) == []


def test_many_may_sweep_the_same_leftovers_at_the_same_time(own_machine, lab, client, engine):
    """As when a class opens its next lesson."""
    dead = lab.labels | {labels.LAB: "0000dead", labels.OWNER: str(Owner(Owner.current().host, os.getpid(), 0))}
    network = client.networks.create("dockerlab-0000dead-network", labels=dead)
    for _ in range(3):
        client.containers.run(lab.base_image, ["sleep", "1000"], detach=True, labels=dead, network=network.name)
    with ThreadPoolExecutor(4) as pool:
        sweeps = [pool.submit(cleanup.sweep, engine.client()) for _ in range(4)]
    for one in sweeps:
        one.result()
    assert client.containers.list(all=True, filters={"label": f"{labels.LAB}=0000dead"}) == []
    assert names(client, "0000dead") == []


def test_what_has_no_label_is_never_touched(own_machine, lab, client):
    """Not even with a name like ours, beside a dead lab's objects."""
    dead = lab.labels | {labels.LAB: "0000dead", labels.OWNER: str(Owner(Owner.current().host, os.getpid(), 0))}
    client.volumes.create("dockerlab-0000dead-mine", labels=dead)
    client.volumes.create("dockerlab-0000dead-yours")
    try:
        assert cleanup.sweep(client) == ["volume dockerlab-0000dead-mine"]
        assert names(client, "0000dead") == ["dockerlab-0000dead-yours"]
    finally:
        client.volumes.get("dockerlab-0000dead-yours").remove()


def test_a_lab_on_another_machine_is_not_swept(own_machine, lab, client):
    far = lab.labels | {labels.OWNER: str(Owner("another-machine", 1, 0))}
    client.volumes.create(lab.name("far"), labels=far)
    assert cleanup.sweep(client) == []
    assert lab.name("far") in names(client, lab.id)


def test_the_snapshot_names_what_is_new_and_what_is_gone(lab, client):
    before = snapshot(client)
    client.volumes.create(lab.name("new"), labels=lab.labels)
    after = snapshot(client)
    # Other tests make and remove things of their own in the same moment.
    assert [line for line in before.difference(after) if lab.id in line] == [f"volumes: {lab.name('new')} is new"]
    assert [line for line in after.difference(before) if lab.id in line] == [f"volumes: {lab.name('new')} is gone"]


def test_what_the_reader_made_from_our_image_is_theirs(lab, client):
    """It inherits the labels, and is told by its name; one without any name is ours."""
    everything_of(lab)
    ours = client.images.get(f"dockerlab/{lab.id}:i")
    ours.tag(f"dockerlab-{lab.id}", "mine")
    lab.client.containers.get(lab.name("c")).commit("dockerlab/" + lab.id, "i")  # what had the tag has the other only
    untagged = lab.client.containers.get(lab.name("c")).commit()
    container = client.containers.create(f"dockerlab-{lab.id}:mine", ["true"])
    try:
        lab.close()
        assert names(client, lab.id) == [f"dockerlab-{lab.id}:mine"]
        assert client.containers.get(container.id).labels[labels.LAB] == lab.id
        with pytest.raises(docker.errors.ImageNotFound):
            client.images.get(untagged.id)
    finally:
        container.remove()
        client.images.remove(f"dockerlab-{lab.id}:mine")


def test_a_lesson_opened_twice_by_one_kernel_leaves_nothing_of_the_first_lab(client, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.chdir(tmp_path)
    first = open_lab("test-twice")
    everything_of(first)
    again = open_lab("test-twice")
    assert again.workspace == first.workspace
    assert names(client, first.id) == []
    assert names(client, again.id) == [again.name("open")]
    assert not again.close().left


BEHIND_A_PROXY = """
import http.server, threading, httpx, os
from dockerlab import open_lab
lab = open_lab("behind-a-proxy")
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
for host in ("127.0.0.1", "localhost"):
    assert httpx.get(f"http://{host}:{server.server_port}/").status_code == 200
print(os.environ["NO_PROXY"], os.environ["no_proxy"])
lab.close()
"""


def test_a_proxy_that_the_environment_names_is_not_asked_for_this_machine(engine, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "inside.example")
    process = subprocess.run(
        [sys.executable, "-c", BEHIND_A_PROXY], capture_output=True, text=True, timeout=120, check=False
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split()[-2:] == ["inside.example,127.0.0.1,localhost"] * 2
