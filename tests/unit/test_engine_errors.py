"""What an error means: the engine is gone, it refuses, or a file of this machine is at fault."""

import errno
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import docker
import pytest
import requests
import urllib3
from docker.errors import APIError, DockerException
from dockerlab import cli, engine
from dockerlab.deploy import networks, proxy, swarm
from dockerlab.engine import engine_errors
from dockerlab.errors import EngineUnreachable, LabError, SwarmFailed
from dockerlab.lab import cleanup
from dockerlab.lab.lab import Lab
from dockerlab.run.container import errors_explained
from dockerlab_kit import making
from typer.testing import CliRunner

URL = "unix:///nowhere/docker.sock"
LAB = SimpleNamespace(engine=SimpleNamespace(url=URL), name=str, labels={})
REFUSAL = APIError("403 Client Error", explanation="not allowed here.")


def no_file() -> OSError:
    return FileNotFoundError(errno.ENOENT, "No such file or directory", "site.cnof")


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (requests.ConnectionError("Connection aborted."), EngineUnreachable, "stopped answering during the work"),
        (requests.ReadTimeout("timed out"), EngineUnreachable, "ReadTimeout"),
        (urllib3.exceptions.ProtocolError("broken"), EngineUnreachable, "ProtocolError"),
        (DockerException("Error while fetching server API version"), EngineUnreachable, URL),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), EngineUnreachable, "ConnectionReset"),
        (REFUSAL, LabError, "The engine refused a request during the work: not allowed here."),
        (APIError("500", explanation="write: no space left on device"), LabError, "The disk of the engine is full."),
        (no_file(), LabError, "site.cnof cannot be used (No such file or directory)."),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "sites"),
            LabError,
            "sites cannot be used (Is a directory).",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), LabError, "This machine's disk is full"),
        (LabError("It is said already."), LabError, "It is said already."),
    ],
    ids=repr,
)
def test_each_kind_is_told_as_what_it_is(error, kind, told):
    explained = engine_errors.explain(error, URL, "during the work")
    assert type(explained) is kind
    assert told in explained.seen


@pytest.mark.parametrize("error", [ValueError("no"), OSError(errno.EAGAIN, "Try again")], ids=repr)
def test_what_is_none_of_these_is_left_as_it_is(error):
    assert engine_errors.explain(error, URL, "during the work") is None
    with pytest.raises(type(error)), engine_errors.explained(URL, "during the work"):
        raise error


def test_a_file_is_not_taken_for_the_engine_in_an_experiment():
    with pytest.raises(LabError, match=r"site\.cnof") as caught, errors_explained(LAB, "proxy"):
        raise no_file()
    assert not isinstance(caught.value, EngineUnreachable)
    with pytest.raises(APIError), errors_explained(LAB, "proxy"):  # whoever asks knows more of what is refused
        raise REFUSAL


@pytest.mark.parametrize("path", ["site.cnof", "folder"])
def test_a_proxy_whose_site_cannot_be_read_is_told_before_anything_is_made(tmp_path, monkeypatch, path):
    """There is no engine here, so nothing can be made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for sites in ([Path(path)], path):
        with pytest.raises(LabError, match=f"^{path} cannot be used") as caught:
            proxy.tls_proxy(LAB, "nginx", sites, hosts=["shop.example"])
        assert str(tmp_path) in caught.value.do


@pytest.mark.parametrize("hosts", [[], "", ["https://shop.example"], "shop.example:8443"])
def test_a_certificate_is_for_the_names_of_hosts(hosts):
    with pytest.raises(LabError, match="No certificate can be made"):
        proxy.tls_proxy(LAB, "nginx", hosts=hosts)


def test_a_network_that_the_engine_refuses_is_told_in_its_words():
    def refuse(*_, **__):
        raise REFUSAL

    client = SimpleNamespace(networks=SimpleNamespace(create=refuse))
    lab = SimpleNamespace(engine=LAB.engine, name=str, labels={}, client=client)
    with pytest.raises(LabError, match="would not make the network 'apps': not allowed here"):
        networks.network(lab, "apps")


def a_node(error: Exception) -> swarm.Node:
    def fail(*_):
        raise error

    node = swarm.Node(LAB, "node1", None, Path())
    node.client = SimpleNamespace(
        images=SimpleNamespace(load=fail),
        nodes=SimpleNamespace(list=fail),
        api=SimpleNamespace(inspect_service=lambda _: {"ID": "1"}),
    )
    return node


class Saved:
    """The answer of an engine that saves an image."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def iter_content(self, _):
        return [b"layer"]


def giving(tmp_path, **api) -> SimpleNamespace:
    """A lab whose engine has each image."""
    known = {
        "_url": str,
        "_get": lambda *_, **__: Saved(),
        "_raise_for_status": lambda _: None,
    }
    client = SimpleNamespace(api=SimpleNamespace(**(known | api)), images=SimpleNamespace(get=str))
    return SimpleNamespace(engine=LAB.engine, workspace=tmp_path, client=client)


def test_a_node_that_is_gone_is_not_taken_for_the_labs_engine(tmp_path):
    node = a_node(requests.ConnectionError("Connection aborted."))
    node.lab = giving(tmp_path)
    with pytest.raises(SwarmFailed, match="engine in node1 does not answer"):
        swarm.give([node], ["shop"])
    with pytest.raises(SwarmFailed, match="engine in node1 does not answer"):
        swarm.tasks(node, "web")


def test_a_node_that_refuses_is_told_in_its_words(tmp_path):
    words = 'This node is not a swarm manager. Use "docker swarm init".'
    node = a_node(APIError("503 Server Error", explanation=words))
    node.lab = giving(tmp_path)
    with pytest.raises(SwarmFailed, match="`docker load` failed on node1: This node is not a swarm manager"):
        swarm.give([node], ["shop"])


def test_a_full_disk_is_not_taken_for_the_engine_when_images_are_given(tmp_path):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    node = a_node(ValueError("it comes to no node"))
    node.lab = giving(tmp_path, _get=full)
    with pytest.raises(LabError, match="This machine's disk is full"):
        swarm.give([node], ["shop"])
    swarm.give([], ["shop"])
    swarm.give([node], [])


@pytest.mark.parametrize(
    ("error", "told"),
    [(REFUSAL, "refused a request while the kit was made"), (requests.ConnectionError("gone"), "stopped answering")],
    ids=["refused", "gone"],
)
def test_a_kit_that_the_engine_does_not_make_is_not_told_as_a_full_disk(tmp_path, error, told):
    def fail():
        raise error

    with pytest.raises(LabError, match=told) as caught:
        making.make(tmp_path / "kit", SimpleNamespace(version=fail))
    assert "room" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_kit_is_a_folder(tmp_path):
    (tmp_path / "kit").write_text("mine")
    with pytest.raises(LabError, match="kit is a file"):
        making.make(tmp_path / "kit", None)
    assert (tmp_path / "kit").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (requests.ConnectionError("gone"), "The engine stopped answering"),
        (REFUSAL, "The engine refused a request"),
        (PermissionError(errno.EACCES, "Permission denied", "/cache"), "/cache cannot be used (Permission denied)."),
    ],
    ids=["gone", "refused", "a file"],
)
def test_a_command_ends_with_a_sentence_whatever_the_engine_does(monkeypatch, error, told):
    def fail(_):
        raise error

    monkeypatch.setattr(engine, "ensure", fail)
    result = CliRunner().invoke(cli.app, ["setup"])
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


# --- a lab that is closed ---


class FakeLab(Lab):
    """A lab without an engine."""

    def __init__(self, client):
        self.lesson, self.id = "test", "0123abcd"
        self.client = client
        self.engine = SimpleNamespace(url=URL)
        self._run = SimpleNamespace(close=lambda: None)
        self._lock = SimpleNamespace(release=lambda: None)
        self.pulled = set()


@pytest.mark.parametrize(
    ("error", "kind"),
    [(None, None), (requests.ConnectionError("gone"), EngineUnreachable), (REFUSAL, LabError), (no_file(), LabError)],
    ids=["", "gone", "refused", "a file"],
)
def test_a_closed_lab_has_no_connection_open_whatever_happens(monkeypatch, error, kind):
    def remove_lab(*_):
        if error:
            raise error
        return []

    closed = []
    monkeypatch.setattr(cleanup, "remove_lab", remove_lab)
    lab = FakeLab(SimpleNamespace(close=lambda: closed.append(True)))
    for _ in range(2):
        if kind:
            with pytest.raises(LabError, match=r"while the lab was cleaned up|site\.cnof") as caught:
                lab.close()
            assert type(caught.value) is kind
        else:
            lab.close()
    assert closed == [True, True]


def test_the_client_of_a_lab_holds_no_socket_after_its_end(monkeypatch, tmp_path):
    monkeypatch.setattr(cleanup, "remove_lab", lambda client, _: [] if client.ping() else ["it"])
    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        lab = FakeLab(docker.DockerClient(base_url=f"unix://{tmp_path}/s", version="1.45", timeout=20))
        closing = pool.submit(lab.close)
        taken, _ = listener.accept()
        with taken:
            taken.settimeout(20)
            assert b"/_ping" in taken.recv(4096)
            taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
            assert closing.result(20).left == ()
            assert taken.recv(1) == b"", "more is asked"  # the connection has ended


def test_names_have_only_what_engines_take():
    lab = FakeLab(None)
    assert lab.name("My proxy ü") == "dockerlab-0123abcd-My-proxy-"
    assert lab.tag("My App") == "dockerlab/0123abcd:My-App"
    assert lab.tag("...") == "dockerlab/0123abcd:image"
