"""What is made of an engine's words: they differ with its version, and not every version is at hand."""

import contextlib
import http.server
import threading
import time
from types import SimpleNamespace

import docker
import httpx
import pytest
from docker.errors import APIError, NotFound
from dockerlab.errors import AppCrashed, LabError, PortTaken
from dockerlab.run import docker_exec
from dockerlab.run.container import Service, _never_listened, serve
from dockerlab.run.docker_exec import Socket
from dockerlab.run.stop import stop, stop_side_by_side

FAILED = "driver failed programming external connectivity on endpoint web (6c91): "
RUNC = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: "
)


def a_service(start_error="", engine="unix:///var/run/docker.sock"):
    def start():
        raise APIError("500 Server Error", explanation=start_error)

    container = SimpleNamespace(start=start, logs=lambda **_: b"")
    client = SimpleNamespace(api=SimpleNamespace(containers=list))
    lab = SimpleNamespace(client=client, engine=SimpleNamespace(url=engine))
    return Service(lab, "web", container, 80, "/")


@pytest.mark.parametrize(
    "words",
    [
        FAILED + "Bind for 127.0.0.1:8000 failed: port is already allocated",
        FAILED + "Error starting userland proxy: listen tcp4 127.0.0.1:8000: bind: address already in use",
        "failed to set up container networking: " + FAILED + "failed to bind host port 127.0.0.1:8000/tcp: "
        "address already in use",
        "Ports are not available: exposing port TCP 127.0.0.1:8000 -> 127.0.0.1:0: listen tcp 127.0.0.1:8000: bind: "
        "address already in use",
        "rootlessport listen tcp 127.0.0.1:8000: bind: address already in use",
    ],
)
def test_a_taken_port_in_the_words_of_many_engines(words):
    with pytest.raises(PortTaken, match="Port 8000 of this machine is taken"):
        a_service(words).start(8000)


@pytest.mark.parametrize(
    ("words", "told", "hint"),
    [
        (
            RUNC + 'unable to start container process: exec: "fastapy": executable file not found in $PATH: unknown',
            'exec: "fastapy": executable file not found in $PATH.',
            "127",
        ),
        (
            RUNC + 'unable to start container process: exec: "/start.sh": permission denied: unknown',
            'exec: "/start.sh": permission denied.',
            "126",
        ),
        (
            "crun: executable file `fastapy` not found in $PATH: No such file or directory: OCI runtime attempted to "
            "invoke a command that was not found",
            "executable file `fastapy` not found",
            "127",
        ),
    ],
)
def test_a_main_process_that_cannot_be_started(words, told, hint):
    with pytest.raises(AppCrashed, match=hint) as crash:
        a_service(words).start()
    assert told in crash.value.seen


@pytest.mark.parametrize(
    "words",
    [
        RUNC + "error mounting /nowhere: no such file or directory: unknown",
        FAILED + "cannot expose privileged port 80",
    ],
)
def test_anything_else_is_passed_on_in_the_engines_words(words):
    with pytest.raises(LabError) as error:
        a_service(words).start(80)
    assert type(error.value) is LabError
    assert words in error.value.seen


@pytest.fixture
def endless():
    """An application whose every answer begins, and goes on for as long as the client listens."""

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"data: 1\n\n")
                    time.sleep(0.01)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_an_answer_without_end_is_an_answer(endless):
    attrs = {
        "State": {"Status": "running"},
        "NetworkSettings": {"Ports": {"80/tcp": [{"HostPort": str(endless)}]}},
    }
    service = a_service()
    service.container = SimpleNamespace(reload=lambda: None, attrs=attrs)
    waiting = threading.Thread(target=service.wait, daemon=True)
    waiting.start()
    waiting.join(20)
    assert not waiting.is_alive()
    assert service.url == f"http://127.0.0.1:{endless}"


def test_what_the_sdk_cannot_read_is_told():
    """It raises `ValueError`, `TypeError` and errors of its own, before the engine is asked."""
    client = docker.DockerClient(base_url="unix:///nowhere.sock", version="1.45")
    lab = SimpleNamespace(client=client, engine=SimpleNamespace(url="unix:///nowhere.sock"), labels={}, name=str)
    for wrong, told in [
        ({"command": "it's"}, "No closing quotation"),
        ({"memory": "lots"}, "lots"),
        ({"memry": "1g"}, "memry"),
        ({"port": "http"}, "'http' is not a port"),
        ({"port": 0}, "0 is not a port"),
        ({"host_port": 70000}, "70000 is not a port"),
    ]:
        with pytest.raises(LabError, match=told):
            serve(lab, "shop", **wrong)


def test_a_container_that_was_closed_is_told():
    def gone(**_):
        raise NotFound("404 Client Error", explanation="No such container: c0ffee")

    service = a_service()
    service.container = SimpleNamespace(reload=gone, logs=gone)
    for look in (service.logs, service.wait, lambda: service.pid1, lambda: stop(service)):
        with pytest.raises(LabError, match="container of 'web' is gone"):
            look()


@pytest.mark.parametrize("grace", [-1, 0.5, "10"])
def test_a_grace_period_is_a_whole_number_of_seconds(grace):
    """-1 would let the engine wait without end."""
    with pytest.raises(LabError, match="is not a grace period"):
        stop(a_service(), grace=grace)


def test_nothing_is_stopped_where_there_is_nothing_to_stop():
    lab = SimpleNamespace(client=SimpleNamespace(info=lambda: {"NCPU": 2}))
    assert stop_side_by_side(lab, {}) == ()


def test_an_engine_on_another_machine_is_told(monkeypatch):
    monkeypatch.setattr(docker_exec, "listening", lambda _: [Socket("0.0.0.0", 80)])
    service = a_service(engine="tcp://build-server:2376")
    error = _never_listened(service, "", 30, httpx.ConnectError("refused"))
    assert "cannot be reached from here" in error.seen
    assert "tcp://build-server:2376" in error.do
