"""Whose credentials go to which registry: from `config.json`, from a helper, and where a helper is broken."""

import base64
import json
import types

import pytest
from docker.errors import APIError
from dockerlab.engine import registry
from dockerlab.errors import LabError

BASIC = base64.b64encode(b"ada:secret").decode()


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """Write `config.json`, and have a helper `docker-credential-x` that writes down what it is asked for."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    helper = tmp_path / "docker-credential-x"
    helper.write_text(
        f"#!/bin/sh\nread server\necho $1 $server >> {tmp_path}/asked\n"
        'case $server in *.private.example) echo \'{"Username": "ada", "Secret": "secret"}\' ;;\n'
        "*) echo credentials not found in native keychain; exit 1 ;; esac\n"
    )
    helper.chmod(0o755)
    (tmp_path / "asked").touch()

    def write(**config):
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path / "asked"

    return write


def sent(image):
    header = registry.header(image)
    return json.loads(base64.urlsafe_b64decode(header["X-Registry-Auth"])) if header else {}


def test_from_config_json_for_its_own_registry_alone(configured):
    configured(auths={"https://index.docker.io/v1/": {"auth": BASIC}, "a.private.example": {"auth": BASIC}})
    assert sent("a.private.example/team/base:1")["password"] == "secret"
    assert sent("python:3.13")["username"] == "ada"
    assert sent("b.private.example/team/base:1") == {}


@pytest.mark.parametrize("how", [{"credsStore": "x"}, {"credHelpers": {"a.private.example": "x"}}])
def test_from_a_helper_that_is_asked_for_that_registry_alone(configured, how):
    asked = configured(**how)
    assert sent("a.private.example/team/base@sha256:" + 64 * "0") == {
        "ServerAddress": "a.private.example",
        "Username": "ada",
        "Password": "secret",
    }
    assert asked.read_text() == "get a.private.example\n"


def test_a_helper_that_knows_nothing_of_it(configured):
    configured(credsStore="x")
    assert sent("public.example/base:1") == {}


@pytest.mark.parametrize(
    ("config", "says"),
    [({"credsStore": "gone"}, "docker-credential-gone not installed"), ({"auths": {"a.example": {"auth": "%"}}}, "")],
    ids=["a helper that is not there", "no base64"],
)
def test_what_is_broken_is_told_and_a_public_image_can_be_had_all_the_same(configured, config, says, recwarn):
    configured(**config)
    assert sent("a.example/base:1") == {}
    with pytest.raises(LabError, match=f"The credentials for a.example/base:1 could not be had: .*{says}"):
        registry.credentials("a.example/base:1")
    assert not recwarn.list


class PlayedEngine:
    """Answers a pull with these lines, or refuses it. In place of a client and of its `api`."""

    def __init__(self, *lines, refuses=""):
        self.api = self
        self.lines = lines
        self.refuses = refuses

    def _url(self, path):
        return path

    def _post(self, url, **request):
        self.request = request
        return types.SimpleNamespace(iter_lines=lambda: iter(self.lines), close=list)

    def _raise_for_status(self, response):
        if self.refuses:
            raise APIError("404", explanation=self.refuses)


def test_a_pull_sends_them(configured):
    configured(credsStore="x")
    engine = PlayedEngine(b'{"status": "Pulling"}', b"", b'{"status": "done"}')
    assert len(list(registry.pull(engine, "a.private.example:5000/base", 7))) == 3
    assert engine.request["params"] == {"fromImage": "a.private.example:5000/base", "tag": "latest"}
    assert engine.request["timeout"] == 7
    assert engine.request["headers"] == {}  # another port is another registry
    list(registry.pull(engine, "a.private.example/base:1"))
    assert engine.request["headers"].keys() == {"X-Registry-Auth"}


@pytest.mark.parametrize(
    "engine", [PlayedEngine(b'{"error": "denied"}'), PlayedEngine(refuses="denied")], ids=["in the answer", "at once"]
)
def test_an_image_that_is_not_given(configured, engine):
    configured()
    with pytest.raises(registry.NotPulled) as told:
        list(registry.pull(engine, "a.example/base:1"))
    assert (told.value.seen, told.value.do) == ("denied", "")
    configured(credsStore="gone")
    with pytest.raises(registry.NotPulled) as told:
        list(registry.pull(engine, "a.example/base:1"))
    assert "docker-credential-gone not installed" in told.value.do
