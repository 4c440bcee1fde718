"""What is added to a Compose file, and what Compose's answers are taken for; no engine is asked."""

import json
import stat
from types import SimpleNamespace

import pytest
from dockerlab.deploy import compose
from dockerlab.errors import ComposeFailed, ComposeMissing, LabError

LABELS = {"dev.dockerlab.lab": "0123abcd"}

RESOLVED = {
    "name": "x",
    "services": {
        "web": {
            "build": {"context": "/shop"},
            "container_name": "web",
            "labels": {"own": "1"},
            "ports": [{"mode": "ingress", "target": 80, "published": "8000", "protocol": "tcp"}],
        },
        "db": {"image": "postgres", "labels": None},
    },
    "networks": {"default": {"name": "x_default"}, "others": {"name": "theirs", "external": True}},
    "volumes": {"data": {"name": "x_data"}},
}


@pytest.fixture
def adapted():
    return compose.adapt(RESOLVED, {"web": "dockerlab/0123abcd:shop-web"}, LABELS)


def test_everything_that_the_project_makes_is_labeled(adapted):
    assert adapted["services"]["web"]["labels"] == {"own": "1", **LABELS}
    assert adapted["services"]["db"]["labels"] == LABELS
    assert adapted["networks"]["default"]["labels"] == LABELS
    assert adapted["volumes"]["data"]["labels"] == LABELS


def test_what_is_not_the_project_s_is_not(adapted):
    assert adapted["networks"]["others"] == {"name": "theirs", "external": True}


def test_an_image_that_was_built_is_used_and_never_pulled(adapted):
    web = adapted["services"]["web"]
    assert "build" not in web
    assert (web["image"], web["pull_policy"]) == ("dockerlab/0123abcd:shop-web", "never")
    assert adapted["services"]["db"]["image"] == "postgres"


def test_nothing_is_fixed_that_two_learners_cannot_both_have(adapted):
    web = adapted["services"]["web"]
    assert "container_name" not in web
    assert web["ports"] == [{"mode": "ingress", "target": 80, "protocol": "tcp", "host_ip": "127.0.0.1"}]


def test_the_resolved_file_is_not_changed():
    before = json.dumps(RESOLVED)
    compose.adapt(RESOLVED, {"web": "x"}, LABELS)
    assert json.dumps(RESOLVED) == before


@pytest.mark.parametrize(
    ("folder", "file", "name"),
    [
        ("shop", "compose.yaml", "shop"),
        ("shop", "drain.yaml", "shop-drain"),
        ("Your Turn", "compose.yml", "your-turn"),
        ("ä", "compose.yaml", "project"),
    ],
)
def test_a_project_is_named_after_its_folder_and_file(tmp_path, folder, file, name):
    assert compose.short_name(tmp_path / folder, file) == name


def a_project(services, tmp_path) -> compose.ComposeProject:
    return compose.ComposeProject(SimpleNamespace(), "x", tmp_path / "shop", {}, services)


def test_where_nothing_is_published_the_services_to_stop_have_to_be_named(tmp_path):
    project = a_project({"worker": {}, "beat": {"ports": []}}, tmp_path)
    with pytest.raises(LabError, match="No service of shop publishes a port") as caught:
        project.stop()
    assert "stop(['worker', 'beat'])" in caught.value.do


@pytest.mark.parametrize("services", [["wep"], "wep"])
def test_a_service_to_stop_that_is_not_there_is_told(tmp_path, services):
    project = a_project({"web": {"ports": [{"target": 80}]}}, tmp_path)
    project.lab.client = SimpleNamespace(containers=SimpleNamespace(list=lambda **_: []))
    with pytest.raises(LabError, match="no container of a service 'wep'; its services are web"):
        project.stop(services)


def test_requests_to_a_service_that_is_not_stopped_are_not_passed_over(tmp_path):
    project = a_project({"web": {"ports": [{"target": 80}]}, "db": {}}, tmp_path)
    with pytest.raises(LabError, match="in flight to 'wep'"):
        project.stop(in_flight={"wep": ["/slow"]})


def test_a_folder_that_is_gone_is_told(tmp_path):
    with pytest.raises(ComposeFailed, match=r"could not be started in .*shop"):
        a_project({}, tmp_path).run("ps")


def test_services_stand_in_the_order_of_their_file(tmp_path):
    """Compose resolves them in alphabetical order."""
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  web: {image: a}\n  beat: {image: a}\n  never-started: {profiles: [no]}\n")
    assert [*compose._in_order(file, {"also": {}, "beat": {}, "web": {}})] == ["web", "beat", "also"]
    file.write_text("services: !reset\n")
    assert [*compose._in_order(file, {"b": {}, "a": {}})] == ["b", "a"]


def test_a_lesson_s_commands_need_their_file(tmp_path):
    with pytest.raises(LabError, match=r"no shop\.yaml"):
        compose.cli_project(SimpleNamespace(), tmp_path / "shop.yaml")


def program(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("told", ["2.26.1-4", "v2.40.3", "5.0.1"])
def test_a_version_that_will_do(tmp_path, told):
    program(tmp_path, "docker", f"echo {told}")
    assert compose.require_compose({"PATH": str(tmp_path)}) == told.removeprefix("v")


def test_no_docker_command(tmp_path):
    with pytest.raises(ComposeMissing, match="no `docker` command"):
        compose.require_compose({"PATH": str(tmp_path)})


def test_no_plugin(tmp_path):
    program(tmp_path, "docker", "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1")
    with pytest.raises(ComposeMissing, match="its plugin `docker compose` is not"):
        compose.require_compose({"PATH": str(tmp_path)})


def test_the_old_docker_compose_and_no_plugin(tmp_path):
    program(tmp_path, "docker", "exit 1")
    program(tmp_path, "docker-compose", "echo 1.29.2")
    with pytest.raises(ComposeMissing, match=r"Docker Compose 1\.29\.2, the old v1"):
        compose.require_compose({"PATH": str(tmp_path)})


def test_a_docker_compose_that_runs_the_old_one(tmp_path):
    program(tmp_path, "docker", "echo docker-compose version 1.29.2, build 5becea4c")
    with pytest.raises(ComposeMissing, match=r"Docker Compose 1\.29\.2"):
        compose.require_compose({"PATH": str(tmp_path)})
