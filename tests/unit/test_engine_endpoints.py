"""Which engine is meant: the variables, contexts and sockets of the docker CLI."""

import hashlib
import json
import socket

import pytest
from dockerlab.engine import endpoints
from dockerlab.errors import EngineUnreachable


@pytest.fixture
def config(tmp_path):
    """The docker CLI's folder in a home of its own."""
    folder = tmp_path / ".docker"
    folder.mkdir()
    return folder


def write_context(config, name, host="unix:///x.sock", *, tls=False, skip_verify=False):
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts" / "meta" / digest
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": skip_verify}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": endpoint}}))
    if tls:
        folder = config / "contexts" / "tls" / digest / "docker"
        folder.mkdir(parents=True)
        (folder / "ca.pem").touch()
        return folder
    return None


def test_nothing_is_named_without_variables_and_contexts(tmp_path):
    assert endpoints.named({}, tmp_path) is None


def test_docker_host_goes_before_the_context(tmp_path, config):
    write_context(config, "there")
    environ = {"DOCKER_HOST": "unix:///mine.sock", "DOCKER_CONTEXT": "there"}
    assert endpoints.named(environ, tmp_path) == endpoints.Endpoint("unix:///mine.sock", "DOCKER_HOST")


@pytest.mark.parametrize("url", ["ssh://me@there", "npipe:////./pipe/docker_engine", "tcp://127.0.0.1:2375"])
def test_docker_host_is_passed_on_as_it_is(tmp_path, url):
    assert endpoints.named({"DOCKER_HOST": url}, tmp_path) == endpoints.Endpoint(url, "DOCKER_HOST")


def test_docker_host_with_tls(tmp_path):
    environ = {"DOCKER_HOST": "tcp://there:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    assert endpoints.named(environ, tmp_path) == endpoints.Endpoint("tcp://there:2376", "DOCKER_HOST", tmp_path, True)


def test_tls_without_a_folder_takes_the_cli_s_own(tmp_path, config):
    environ = {"DOCKER_HOST": "tcp://there:2376", "DOCKER_TLS_VERIFY": "1"}
    assert endpoints.named(environ, tmp_path).cert_path == config


def test_the_variable_goes_before_the_current_context(tmp_path, config):
    write_context(config, "one", "unix:///one.sock")
    write_context(config, "two", "unix:///two.sock")
    (config / "config.json").write_text('{"currentContext": "one"}')
    assert endpoints.named({}, tmp_path) == endpoints.Endpoint("unix:///one.sock", "context one")
    assert endpoints.named({"DOCKER_CONTEXT": "two"}, tmp_path) == endpoints.Endpoint("unix:///two.sock", "context two")
    assert endpoints.named({"DOCKER_CONTEXT": "default"}, tmp_path) is None


def test_docker_config_names_another_folder(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    write_context(elsewhere, "one", "unix:///one.sock")
    environ = {"DOCKER_CONTEXT": "one", "DOCKER_CONFIG": str(elsewhere)}
    assert endpoints.named(environ, tmp_path).url == "unix:///one.sock"


@pytest.mark.parametrize("skip_verify", [False, True])
def test_a_context_brings_its_certificates(tmp_path, config, skip_verify):
    folder = write_context(config, "far", "tcp://far:2376", tls=True, skip_verify=skip_verify)
    found = endpoints.named({"DOCKER_CONTEXT": "far"}, tmp_path)
    assert found == endpoints.Endpoint("tcp://far:2376", "context far", folder, not skip_verify)


def test_a_context_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(EngineUnreachable, match="'nope', named by the variable DOCKER_CONTEXT, does not exist"):
        endpoints.named({"DOCKER_CONTEXT": "nope"}, tmp_path)


def test_a_current_context_that_does_not_exist_names_the_file(tmp_path, config):
    (config / "config.json").write_text('{"currentContext": "gone"}')
    with pytest.raises(EngineUnreachable, match=r"'gone', named by .*config\.json, does not exist"):
        endpoints.named({}, tmp_path)


def test_a_broken_context_is_an_error(tmp_path, config):
    write_context(config, "broken")
    (next((config / "contexts" / "meta").iterdir()) / "meta.json").write_text("{")
    with pytest.raises(EngineUnreachable, match="cannot be read"):
        endpoints.named({"DOCKER_CONTEXT": "broken"}, tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"currentContext": ""}'])
def test_a_configuration_without_a_context_names_nothing(tmp_path, config, text):
    (config / "config.json").write_text(text)
    assert endpoints.named({}, tmp_path) is None


def test_default_sockets(tmp_path):
    def urls(system, environ):
        return [endpoint.url for endpoint in endpoints.default_sockets(system, environ, tmp_path)]

    linux = urls("Linux", {"XDG_RUNTIME_DIR": "/run/user/1000"})
    assert linux[:2] == ["unix:///var/run/docker.sock", "unix:///run/user/1000/docker.sock"]
    assert f"unix://{tmp_path}/.docker/desktop/docker.sock" in linux
    mac = urls("Darwin", {})
    assert mac[0] == "unix:///var/run/docker.sock"
    assert {f"unix://{tmp_path}/.docker/run/docker.sock", f"unix://{tmp_path}/.colima/default/docker.sock"} <= {*mac}
    assert all(url.startswith("npipe:") for url in urls("Windows", {}))


def test_knock(tmp_path):
    path = tmp_path / "s"
    assert endpoints.knock(f"unix://{path}") == "absent"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert endpoints.knock(f"unix://{path}") == "refused"
        server.listen()
        assert endpoints.knock(f"unix://{path}") == "listening"
    assert endpoints.knock(f"unix://{path}") == "refused"  # the file stays, as after a killed engine
    assert endpoints.knock("ssh://far") == "listening"
