"""Real Docker Compose on a real engine: what is made, what is left, and what is said where it fails."""

import shutil
import subprocess
import threading
from pathlib import Path

import httpx
import pytest
from dockerlab import open_lab
from dockerlab.claims.lesson import _environment
from dockerlab.deploy.compose import cli_project, compose, require_compose
from dockerlab.errors import ComposeFailed, ComposeMissing, LabError
from dockerlab.lab import cleanup, ledger
from dockerlab.labels import OWNER, Owner
from engine_snapshot import snapshot

SAMPLE_APP = Path(__file__).resolve().parents[2] / "sample_app"
SERVE = "python3 -u -m http.server 80"
PROJECT = "com.docker.compose.project"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "shop"
    path.mkdir()
    return path


def write(folder, lab, text, file="compose.yaml"):
    (folder / file).write_text(text.replace("BASE", lab.base_image))


WEB = f"""\
services:
  web:
    image: BASE
    command: {SERVE}
    ports: ["8000:80"]
    init: true
    stop_grace_period: 2s
    volumes: ["data:/data"]
    healthcheck:
      test: ["CMD", "python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1/', timeout=2)"]
      interval: 1s
      retries: 30
volumes:
  data:
"""


def test_what_it_makes_is_the_lab_s_and_down_leaves_nothing(lab, folder, client):
    write(folder, lab, WEB)
    before = snapshot(client)
    with compose(lab, folder) as project:
        project.up()
        assert httpx.get(project.url("web"), timeout=10).status_code == 200
        assert project.url("web").startswith("http://127.0.0.1:")
        mine = {"label": f"dev.dockerlab.lab={lab.id}"}
        assert [item.name for item in client.containers.list(filters=mine)] == [f"{project.name}-web-1"]
        assert [item.name for item in client.networks.list(filters=mine)] == [f"{project.name}_default"]
        assert f"{project.name}_data" in [item.name for item in client.volumes.list(filters=mine)]
        (folder / "note").write_text("down finds the project without its file being looked at anew")
    after = snapshot(client)
    ours = [line for line in before.difference(after) if lab.id in line]
    assert not ours


def test_closing_the_lab_is_enough(tmp_path, monkeypatch, folder, client):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.chdir(tmp_path)
    lab = open_lab("test")
    write(folder, lab, WEB)
    project = compose(lab, folder)
    project.up()
    assert not lab.close().left
    mine = {"label": f"com.docker.compose.project={project.name}"}
    assert not client.containers.list(all=True, filters=mine)
    assert not client.networks.list(filters=mine)
    assert not client.volumes.list(filters=mine)


TYPED = """\
services:
  web:
    build: .
    ports: ["127.0.0.1::80"]
    volumes: ["data:/data"]
volumes:
  data:
"""


def typed(lab, folder, *arguments):
    """What a lesson's cell does that types `docker compose`."""
    environment = {**lab.engine.environment, **_environment(lab)}
    command = ["docker", "compose", "--file", str(folder / "compose.yaml"), *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)


@pytest.mark.parametrize("end", ["it is closed", "its process has died"])
def test_what_typed_commands_make_goes_with_its_lab_and_no_other_project(tmp_path, monkeypatch, folder, client, end):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.chdir(tmp_path)
    theirs = client.volumes.create("shop-0a1b2c3d_data", labels={PROJECT: "shop-0a1b2c3d"})
    lab = open_lab("test")
    try:
        write(folder, lab, TYPED)
        (folder / "Dockerfile").write_text(f"FROM {lab.base_image}\nCMD {SERVE}\n")
        begun = ledger.begin_build(client, [f"CMD {SERVE}"], is_cli=True)  # as is noted around a cell
        typed(lab, folder, "up", "--detach")
        ledger.end_build(begun)
        project = cli_project(lab, folder / "compose.yaml")
        assert project.name == f"shop-{lab.id}"
        assert project.left() == {"containers": 1, "networks": 1, "volumes": 1}
        assert project.url("web").startswith("http://127.0.0.1:")
        mine = {"label": f"{PROJECT}={project.name}"}
        assert client.images.list(filters=mine)
        if end != "it is closed":
            assert not [name for name in cleanup.leftovers(client) if lab.id in name], "it lives"
            monkeypatch.setattr(Owner, "is_dead", lambda owner: owner == Owner.parse(lab.labels[OWNER]))
            cleanup.sweep(client)
        assert not lab.close().left
        assert not any(project.left().values())
        assert not client.images.list(filters=mine)
        assert client.volumes.get(theirs.name)
    finally:
        lab.close()
        theirs.remove()


def test_two_learners_do_not_meet(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.chdir(tmp_path)
    labs = [open_lab("test-one"), open_lab("test-two")]  # of one lesson, a process has one lab open
    try:
        write(folder, labs[0], WEB)
        projects = [compose(lab, folder) for lab in labs]
        threads = [threading.Thread(target=project.up) for project in projects]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        projects[0].down()
        assert httpx.get(projects[1].url("web"), timeout=10).status_code == 200
    finally:
        left = [lab.close().left for lab in labs]
    assert not any(left)


def test_a_stop_is_compose_s_own_with_the_service_s_grace(lab, folder):
    write(folder, lab, WEB)
    with compose(lab, folder) as project:
        project.up()
        [stopped] = project.stop()
    assert (stopped.name, stopped.grace_seconds, stopped.killed) == ("web", 2, False)
    assert stopped.exit_code == 143


def test_a_service_that_has_ended_cannot_be_stopped_and_nothing_hangs(lab, folder):
    write(folder, lab, WEB)
    with compose(lab, folder) as project:
        project.up()
        project.container("web").kill()
        with pytest.raises(LabError):
            project.stop(["web"])


def test_a_failed_dependency_is_told(lab, folder):
    write(
        folder,
        lab,
        f"""\
services:
  first:
    image: BASE
    command: ["sh", "-c", "exit 3"]
  web:
    image: BASE
    command: {SERVE}
    depends_on: {{first: {{condition: service_completed_successfully}}}}
""",
    )
    with compose(lab, folder) as project:
        with pytest.raises(ComposeFailed, match=r"first.*exit 3"):
            project.up()
        assert project.container("web").status == "created"


def test_an_invalid_file_is_told_in_compose_s_words(lab, folder):
    write(folder, lab, "services:\n  web:\n    image: BASE\n    memlimit: 3\n")
    with pytest.raises(ComposeFailed, match="memlimit") as caught:
        compose(lab, folder)
    assert caught.value.do


def test_a_file_that_is_no_yaml(lab, folder):
    write(folder, lab, "services:\n  web:\n   image: a\n  b\n")
    with pytest.raises(ComposeFailed, match="line"):
        compose(lab, folder)


def test_no_file(lab, folder):
    with pytest.raises(LabError, match=r"no compose\.yaml"):
        compose(lab, folder)


def test_a_service_that_is_not_there(lab, folder):
    write(folder, lab, WEB)
    with compose(lab, folder) as project, pytest.raises(LabError, match="its services are web"):
        project.container("wep")


def test_a_network_name_that_is_taken(lab, folder, client):
    taken = client.networks.create(lab.name("taken"), labels=lab.labels)
    write(folder, lab, f"{WEB}networks:\n  default:\n    name: {taken.name}\n")
    try:
        with pytest.raises(ComposeFailed, match=taken.name) as caught:
            compose(lab, folder).up()
        assert "external" in caught.value.do
    finally:
        taken.remove()


def test_compose_is_missing(lab, folder, tmp_path, monkeypatch):
    write(folder, lab, WEB)
    monkeypatch.setattr(type(lab.engine), "environment", property(lambda engine: {"PATH": str(tmp_path)}))
    with pytest.raises(ComposeMissing):
        compose(lab, folder)


def test_the_compose_that_is_here_will_do(engine):
    assert int(require_compose(engine.environment).split(".")[0]) >= 2


@pytest.mark.prove  # lesson 05 starts the same file, and stops others
def test_the_sample_app_s_own_file_starts_in_order_and_stops_in_order(lab, tmp_path):
    shutil.copytree(SAMPLE_APP, tmp_path / "sample_app", ignore=shutil.ignore_patterns("__pycache__"))
    with compose(lab, tmp_path / "sample_app") as project:
        project.up()
        assert "migrated" in project.logs("migrate")
        assert httpx.get(project.url("web"), timeout=10).json() == {"Hello": "World"}
        [stopped] = project.stop()
    assert (stopped.exit_code, stopped.shutdown_ran, stopped.grace_seconds) == (0, True, 30)
