"""What an engine's answers tell, which engines are refused, and what happens where there is none."""

import dataclasses
import http.server
import os
import threading
import time
from pathlib import Path

import dockerlab.engine
import pytest
from dockerlab.engine import discovery, endpoints, systems
from dockerlab.engine.own import embedded
from dockerlab.engine.own.engine_folder import EngineFolder
from dockerlab.errors import EngineMissing, EngineUnreachable

HERE = endpoints.Endpoint("unix:///s.sock", "default socket")
VERSION = {
    "Version": "26.1.5+dfsg1",
    "ApiVersion": "1.45",
    "Arch": "amd64",
    "Components": [{"Name": "Engine"}, {"Name": "containerd"}],
}
INFO = {
    "ID": "abc",
    "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
    "OSType": "linux",
    "Driver": "overlay2",
    "CgroupVersion": "2",
    "SecurityOptions": ["name=seccomp,profile=builtin"],
}


def told(version=(), info=()):
    return discovery.describe_answers(HERE, VERSION | dict(version), INFO | dict(info))


@pytest.fixture
def no_engine(monkeypatch, tmp_path):
    """A user without an engine."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKERLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(endpoints, "default_sockets", lambda *_: [])


def test_docker():
    engine = told()
    assert engine.kind == "docker"
    assert engine.describe() == "Docker Engine 26.1.5 (overlay2), default socket"
    assert (engine.id, engine.arch, engine.cgroup, engine.rootless) == ("abc", "amd64", "2", False)


def test_rootless():
    engine = told(info={"SecurityOptions": ["name=rootless", "name=cgroupns"]})
    assert engine.rootless
    assert engine.describe() == "Docker Engine 26.1.5 (overlay2, rootless), default socket"


def test_podman():
    engine = told(version={"Version": "5.4.2", "ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]})
    assert engine.kind == "podman"
    assert engine.describe() == "Podman 5.4.2 (overlay2), default socket"
    discovery.refuse_unusable(engine)


def test_an_old_engine_is_refused():
    discovery.refuse_unusable(told(version={"Version": "20.10.24", "ApiVersion": "1.41"}))
    with pytest.raises(EngineUnreachable, match=r"too old: version 19\.03\.15, API 1\.40") as refused:
        discovery.refuse_unusable(told(version={"Version": "19.03.15", "ApiVersion": "1.40"}))
    assert "20.10" in refused.value.do


def test_windows_containers_are_refused():
    with pytest.raises(EngineUnreachable, match="Linux containers"):
        discovery.refuse_unusable(told(), "windows")


def test_the_environment_leads_the_cli_to_the_same_engine(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", "/elsewhere")
    environment = told().environment
    assert environment["DOCKER_HOST"] == "unix:///s.sock"
    assert not {"DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"} & environment.keys()
    secured = dataclasses.replace(told(), cert_path=tmp_path, tls_verify=True).environment
    assert (secured["DOCKER_CERT_PATH"], secured["DOCKER_TLS_VERIFY"]) == (str(tmp_path), "1")


def test_no_engine_is_an_error_that_says_what_to_do(no_engine, monkeypatch):
    monkeypatch.setattr(systems.platform, "system", lambda: "Darwin")
    with pytest.raises(EngineMissing, match="on this Mac") as missing:
        discovery.find()
    assert "colima start" in missing.value.do


def test_a_named_engine_that_does_not_answer_is_an_error(no_engine, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(EngineUnreachable, match=r"DOCKER_HOST names, does not answer \(Connection refused\)") as error:
        dockerlab.engine.ensure()
    assert "unset DOCKER_HOST" in error.value.do


def test_an_engine_that_hangs_is_waited_for_no_longer_than_one_that_works_needs(hung, monkeypatch):
    """Whatever time its work may take later: the SDK asks for the version when a client is made."""
    monkeypatch.setattr(discovery, "HELLO_SECONDS", 0.1)
    began = time.monotonic()
    with pytest.raises(EngineUnreachable, match=r"does not answer \(timed out\)"):
        hung.client(timeout=120)
    with pytest.raises(EngineUnreachable, match=r"does not answer \(timed out\)"):
        discovery.probe(endpoints.Endpoint(hung.url, "default socket"))
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (403, b'{"message": "not for you"}', "answers with an error (not for you)"),
        (200, b"<html>", "answers, but not as an engine does"),
        (200, b"{}", "answers, but not as an engine does"),
        (200, b"[]", "answers, but not as an engine does"),
    ],
)
def test_what_answers_otherwise_is_not_told_as_silent(status, answer, told):
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(EngineUnreachable) as error:
            discovery.probe(endpoints.Endpoint(f"tcp://127.0.0.1:{server.server_port}", "DOCKER_HOST"))
    assert told in error.value.seen


@pytest.mark.parametrize(
    ("url", "cert_path", "told"),
    [
        ("htp://engine", None, "cannot be asked (Invalid bind address protocol"),
        ("tcp://engine:port", None, "cannot be asked (Port could not be cast"),
        ("tcp://127.0.0.1:1", Path("/nowhere/certs"), "cannot be asked (there is no folder /nowhere/certs"),
    ],
)
def test_an_address_that_is_mistyped_is_not_told_as_an_engine_that_is_silent(url, cert_path, told):
    with pytest.raises(EngineUnreachable) as error:
        discovery.probe(endpoints.Endpoint(url, "DOCKER_HOST", cert_path, tls_verify=True))
    assert told in error.value.seen


def test_a_socket_that_may_not_be_opened_is_told(no_engine, monkeypatch):
    monkeypatch.setattr(endpoints, "default_sockets", lambda *_: [HERE])
    monkeypatch.setattr(endpoints, "knock", lambda _: "denied")
    with pytest.raises(EngineUnreachable, match="may not open it") as denied:
        discovery.find()
    assert "usermod" in denied.value.do


def test_a_stale_socket_is_passed_over(no_engine, monkeypatch):
    monkeypatch.setattr(endpoints, "default_sockets", lambda *_: [HERE])
    monkeypatch.setattr(endpoints, "knock", lambda _: "refused")
    with pytest.raises(EngineMissing):
        discovery.find()


def test_nothing_is_started_where_the_embedded_engine_cannot_run(no_engine, monkeypatch):
    monkeypatch.setattr(systems, "can_embed", lambda: False)
    monkeypatch.setattr(embedded, "start", lambda _: pytest.fail("started"))
    with pytest.raises(EngineMissing):
        dockerlab.engine.ensure()


def test_the_embedded_engine_is_started_where_there_is_none(no_engine, monkeypatch):
    started = endpoints.Endpoint("unix:///embedded.sock", "embedded")
    monkeypatch.setattr(systems, "can_embed", lambda: True)
    monkeypatch.setattr(embedded, "start", lambda _: started)
    monkeypatch.setattr(dockerlab.engine, "probe", lambda endpoint: endpoint)
    assert dockerlab.engine.ensure() == started


# --- what a terminal is given, and what a lesson makes of it ----------------------------------------------------------


@pytest.fixture
def given(no_engine, monkeypatch, tmp_path):
    """A machine that can have the embedded engine, and a terminal that was opened before any engine was started."""
    monkeypatch.setattr(systems, "can_embed", lambda: True)
    monkeypatch.setattr(discovery.shutil, "which", lambda name: None)
    packages = EngineFolder.default().packages
    packages.mkdir(parents=True)
    EngineFolder.default().complete.touch()
    (packages / "docker-config").mkdir()
    return discovery.shell_environment()


def test_a_terminal_leads_to_the_embedded_engine_before_it_is_started(given):
    here = EngineFolder.default()
    assert given["DOCKER_HOST"] == here.url
    assert given["PATH"].startswith(str(here.packages / "usr/bin"))
    assert given["DOCKER_CONFIG"] == str(here.packages / "docker-config")


def test_the_embedded_engine_is_told_as_such_and_restarted_though_a_variable_names_it(given, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", given["DOCKER_HOST"])
    own = endpoints.Endpoint(given["DOCKER_HOST"], "embedded")
    started = []
    monkeypatch.setattr(embedded, "start", lambda _: started.append(own) or own)
    for module in (dockerlab.engine, discovery):
        monkeypatch.setattr(module, "probe", lambda endpoint: endpoint)
    assert dockerlab.engine.ensure() == own
    assert started == [own]
    monkeypatch.setattr(embedded, "running", lambda: own)
    monkeypatch.setattr(endpoints, "default_sockets", lambda *_: pytest.fail("looked for another"))
    assert dockerlab.engine.ensure() == discovery.find() == own
    assert started == [own]


@pytest.mark.parametrize("named_by", ["DOCKER_HOST", "a socket"])
def test_a_terminal_finds_the_readers_own_engine_by_itself_and_gets_a_docker_cli_where_there_is_none(
    given, monkeypatch, named_by
):
    if named_by == "DOCKER_HOST":
        monkeypatch.setenv("DOCKER_HOST", "tcp://there:2375")
    else:
        monkeypatch.setattr(endpoints, "default_sockets", lambda *_: [HERE])
        monkeypatch.setattr(endpoints, "knock", lambda _: "listening")
    unpacked = {name: given[name] for name in ("PATH", "DOCKER_CONFIG")}
    assert discovery.shell_environment() == {**os.environ, **unpacked}
    monkeypatch.setattr(discovery.shutil, "which", lambda name: "/usr/bin/docker")
    assert discovery.shell_environment() == dict(os.environ)


@pytest.mark.parametrize("context", ["", "gone"])
def test_where_there_is_no_engine_to_name_a_terminal_is_as_it_was(no_engine, monkeypatch, context):
    monkeypatch.setattr(systems, "can_embed", lambda: False)
    monkeypatch.setenv("DOCKER_CONTEXT", context)
    assert discovery.shell_environment() == dict(os.environ)


@pytest.mark.parametrize(
    ("system", "apt", "root", "said"),
    [
        ("Darwin", False, False, "colima start"),
        ("Windows", False, False, "WSL"),
        ("Linux", True, True, "dockerlab engine start"),
        ("Linux", True, False, "sudo apt-get install docker.io"),
        ("Linux", False, True, "your distribution's packages"),
        ("FreeBSD", False, True, "DOCKER_HOST"),
    ],
)
def test_each_system_has_its_own_message(system, apt, root, said):
    seen, do = systems.message(system, apt=apt, root=root)
    assert seen.startswith("No Docker engine was found")
    assert said in do


def test_the_embedded_engine_needs_linux_apt_and_root(monkeypatch):
    monkeypatch.setattr(systems.platform, "system", lambda: "Linux")
    monkeypatch.setattr(systems.shutil, "which", lambda _: "/usr/bin/apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert systems.can_embed()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not systems.can_embed()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(systems.platform, "system", lambda: "Darwin")
    assert not systems.can_embed()
