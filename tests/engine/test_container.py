"""A service answers when it is handed over, says what is wrong where it does not, and leaves nothing behind."""

import contextlib
import ipaddress
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from dockerlab import labels, open_lab
from dockerlab.errors import AppCrashed, EngineUnreachable, LabError, NeverListened, NotReached, PortTaken
from dockerlab.lab import cleanup
from dockerlab.run import docker_exec
from dockerlab.run.container import serve
from dockerlab.run.stop import stop


@pytest.fixture(autouse=True)
def nothing_is_left(lab):
    """Whatever happens in a test, no container of its lab is there in the end."""
    yield
    assert containers(lab) == []


def containers(lab):
    return lab.client.containers.list(all=True, filters={"label": f"{labels.LAB}={lab.id}"})


def python(program):
    return ["python3", "-c", program]


def listens(address, port):
    return python(f"import socket, time; s = socket.create_server(({address!r}, {port})); time.sleep(1000)")


# --- a service that answers ---


def test_a_service_answers_when_it_is_handed_over(lab, sample):
    with serve(lab, sample) as service:
        assert httpx.get(f"{service.url}/items/5?q=x").json() == {"item_id": 5, "q": "x"}
        assert "lifespan: startup" in service.logs()
        assert service.pid1.endswith("fastapi run app/main.py --port 80")


def test_its_container_is_the_labs_and_reachable_from_this_machine_only(lab, sample):
    with serve(lab, sample.image, name="web", memory="256m") as service:
        attributes = service.container.attrs
        assert service.container.name == lab.name("web")
        assert lab.labels.items() <= attributes["Config"]["Labels"].items()
        assert [binding["HostIp"] for binding in attributes["NetworkSettings"]["Ports"]["80/tcp"]] == ["127.0.0.1"]
        assert attributes["HostConfig"]["Memory"] == 256 * 2**20
        assert attributes["HostConfig"]["PidsLimit"] > 0
        assert not attributes["HostConfig"]["Privileged"]
        assert not attributes["Mounts"]


def test_any_status_is_an_answer(lab, sample):
    with serve(lab, sample, path="/nothing-is-here") as service:
        assert httpx.get(f"{service.url}/nothing-is-here").status_code == 404


def test_what_the_image_says_can_be_overridden(lab, sample):
    uvicorn = ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"]
    with serve(
        lab, sample, port=8000, entrypoint=["env", "FROM_ENTRYPOINT=1"], command=uvicorn, environment={"A": "b"}
    ) as service:
        environment = service.container.exec_run(["cat", "/proc/1/environ"]).output.decode()
        assert {"A=b", "FROM_ENTRYPOINT=1"} <= set(environment.split("\0"))
        assert "uvicorn" in service.pid1


def test_an_init_is_process_1_where_it_is_asked_for(lab, sample):
    with serve(lab, sample, port=None, command=["sleep", "1000"], init=True) as service:
        assert "init" in service.pid1
        assert service.pid1.endswith("-- sleep 1000")


def test_a_program_without_http_is_waited_for_by_its_log(lab, sample):
    program = python("import time; time.sleep(1); print('ready', flush=True); time.sleep(1000)")
    with serve(lab, sample, port=None, command=program, ready="ready") as service:
        assert service.logs() == "ready\n"
        assert service.url == ""


def test_it_is_removed_although_the_block_fails(lab, sample):
    with pytest.raises(ZeroDivisionError), serve(lab, sample, port=None, command=["sleep", "1000"]):
        1 / 0  # noqa: B018


def test_closing_twice_is_safe(lab, sample):
    service = serve(lab, sample, port=None, command=["sleep", "1000"])
    service.close()
    assert containers(lab) == []
    service.close()


def test_closing_the_lab_removes_a_service_that_is_still_open(lab, sample):
    serve(lab, sample, port=None, command=["sleep", "1000"])
    assert not lab.close().left


def test_process_1_is_told_where_the_image_has_no_program_to_read_it(lab, sample):
    program = "rm $(which -a cat python3 python); echo ready; exec sleep 1000"
    with serve(lab, sample, port=None, command=["sh", "-c", program], ready="ready") as service:
        assert service.pid1 == "sleep 1000"


# --- an application that ends ---


@pytest.mark.parametrize(
    ("command", "options", "seen", "do"),
    [
        (python("import nothing"), {}, "exit code 1 before it answered", "last lines of its log"),
        (python("print('done')"), {}, "exit code 0", "as long as its main process"),
        (["sh", "-c", "fastapy run"], {}, "exit code 127", "was not found"),
        (["fastapy", "run"], {}, '"fastapy": executable file not found', "was not found"),
        (["/code/nothing.sh"], {}, "no such file", "was not found"),
        (["/code/requirements.txt"], {}, "permission denied", "chmod \\+x"),
        (["sh", "-c", "/code/requirements.txt"], {}, "exit code 126", "chmod \\+x"),
        (python("x = b'x' * 10**9"), {"memory": "32m"}, "exit code 137", "limit of 32 MiB"),
        (["sh", "-c", "exit 137"], {}, "exit code 137", "SIGKILL"),
        (["sh", "-c", "exit 139"], {}, "exit code 139", "SIGSEGV"),
        (python("print('done')"), {"port": None, "ready": "never"}, "exit code 0 right after", "main process"),
    ],
)
def test_an_application_that_ends_is_told_at_once_and_why(lab, sample, command, options, seen, do):
    began = time.monotonic()
    with pytest.raises(AppCrashed, match=do) as crash:
        serve(lab, sample, command=command, name="web", timeout=100, **options)
    assert seen in crash.value.seen
    assert "'web'" in crash.value.seen
    assert time.monotonic() - began < 50


def test_a_crash_shows_the_end_of_the_log(lab, sample):
    program = python("for n in range(100): print('line', n)\nprint('no database'); exit(1)")
    with pytest.raises(AppCrashed) as crash:
        serve(lab, sample, command=program)
    assert crash.value.log.splitlines()[-1] == "no database"
    assert "line 99" in crash.value.log
    assert "line 1\n" not in crash.value.log


# --- an application that never answers ---

SILENT = {
    "only the container itself": (listens("127.0.0.1", 80), "listens on 127.0.0.1:80, and not on 0.0.0.0:80"),
    "another port": (listens("0.0.0.0", 8000), "listens on 0.0.0.0:8000, and not on 0.0.0.0:80"),
    "no port": (["sleep", "1000"], "listens on no port"),
    "busy": (listens("0.0.0.0", 80), "listens on port 80, but does not answer"),
    "nothing can tell": (
        ["sh", "-c", "rm $(which -a cat python3 python); exec sleep 1000"],
        "nothing answers on its port 80",
    ),
}


def test_what_listens_instead_is_told(lab, sample):
    def wait(case):
        with pytest.raises(NeverListened) as silence:
            serve(lab, sample, command=SILENT[case][0], name=case, timeout=5)
        return silence.value

    with ThreadPoolExecutor() as pool:
        errors = dict(zip(SILENT, pool.map(wait, SILENT), strict=True))
    for case, (_, seen) in SILENT.items():
        assert f"{case!r} " in errors[case].seen
        assert seen in errors[case].seen
    assert "--host 0.0.0.0 --port 80" in errors["only the container itself"].do
    assert "127.0.0.1 is the container alone" in errors["only the container itself"].do
    assert "port=8000" in errors["another port"].do
    assert "allow more than 5 seconds" in errors["no port"].do


def test_a_log_line_that_never_comes_is_told(lab, sample):
    with pytest.raises(NeverListened, match="has not printed 'ready'"):
        serve(lab, sample, port=None, command=["sleep", "1000"], ready="ready", timeout=1)


# --- a network that loses a container ---

SPOIL = """
import fcntl, socket, struct, sys

device, *addresses = sys.argv[1:]
SIOCSARP, PERMANENT, ETHERNET = 0x8955, 0x6, 1
for address in addresses:
    protocol = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
    hardware = struct.pack("H6s8x", ETHERNET, bytes([2, 0, 0, 0, 0, 1]))
    request = protocol + hardware + struct.pack("i16x16s", PERMANENT, device.encode())
    fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), SIOCSARP, request)
"""
"""Let the engine's machine know addresses by the hardware address of a device that is not there (arp(7))."""


@pytest.fixture
def spoilt(lab, monkeypatch):
    """A network of the lab; `spoilt(n)` spoils the first `n` addresses that its containers get."""
    network = lab.client.networks.create(lab.name("spoilt"), labels=lab.labels)
    monkeypatch.setattr(docker_exec, "SECONDS", 2)
    monkeypatch.setattr(sys.modules[serve.__module__], "PATIENCE", 0.5)
    monkeypatch.setattr(sys.modules[serve.__module__], "EXEC_EVERY", 0.5)
    network.reload()
    gateway = ipaddress.ip_address(network.attrs["IPAM"]["Config"][0]["Gateway"])

    def spoil(count):
        addresses = [str(gateway + n + 1) for n in range(count)]
        lab.client.containers.run(
            lab.base_image,
            ["python3", "-c", SPOIL, f"br-{network.id[:12]}", *addresses],
            network_mode="host",
            privileged=True,
            remove=True,
            labels=lab.labels,
        )
        return network.name

    return spoil


def test_another_container_takes_the_place_of_one_that_is_not_reached(lab, sample, spoilt):
    with serve(lab, sample, name="web", network=spoilt(1)) as service:
        assert httpx.get(f"{service.url}/items/5").json()["item_id"] == 5
        assert service.container.name == lab.name("web")
        assert [c.id for c in lab.client.containers.list(filters={"name": lab.name("web")})] == [service.container.id]


def test_an_application_that_is_slow_itself_is_waited_for(lab, sample, monkeypatch):
    monkeypatch.setattr(docker_exec, "SECONDS", 0.5)
    monkeypatch.setattr(sys.modules[serve.__module__], "PATIENCE", 0.5)
    monkeypatch.setattr(sys.modules[serve.__module__], "EXEC_EVERY", 0.5)
    with serve(lab, sample, path="/slow?seconds=1.5", timeout=60) as service:
        assert service.url


def test_a_network_that_reaches_nobody_is_told(lab, sample, spoilt):
    with pytest.raises(NotReached, match=r"'web' answers inside its container, but .* Read") as lost:
        serve(lab, sample, name="web", network=spoilt(2))
    assert "Uvicorn running" in lost.value.log
    assert lab.client.containers.list(all=True, filters={"name": lab.name("web")}) == []


# --- what the engine cannot do ---


def test_a_port_that_another_program_has_is_told(lab, sample):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port} of this machine is taken, by something else on this machine"):
            serve(lab, sample, host_port=port)


def test_a_port_that_another_container_has_is_told_with_its_name(lab, sample):
    with serve(lab, sample, name="first") as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(PortTaken, match=f"Port {port} .* by the container {lab.name('first')}"):
            serve(lab, sample, host_port=port)


def test_an_image_that_is_not_there_is_told(lab):
    with pytest.raises(LabError, match="no image dockerlab/nothing:here"):
        serve(lab, "dockerlab/nothing:here")


def test_a_service_of_the_same_name_is_told(lab, sample):
    with (
        serve(lab, sample, port=None, command=["sleep", "1000"], name="web"),
        pytest.raises(LabError, match="a container for 'web' already"),
    ):
        serve(lab, sample, name="web")


def test_what_the_engine_says_is_passed_on(lab, sample):
    with pytest.raises(LabError, match="nowhere"):
        serve(lab, sample, network="nowhere")
    with pytest.raises(LabError, match="emory"):
        serve(lab, sample, memory="1k")


# --- an engine that goes away ---


class Relay:
    """A socket in front of the engine's, which can be taken away."""

    def __init__(self, path, engine_path):
        self.url = f"unix://{path}"
        self._engine_path = engine_path
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self._engine_path)
            self._connections += [client, engine]
            for source, target in [(client, engine), (engine, client)]:
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def cut(self):
        for end in [self._server, *self._connections]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def relay(engine, tmp_path):
    if not engine.url.startswith("unix://"):
        pytest.fail(f"this test stands between the lab and a unix socket, and the engine is at {engine.url}")
    relay = Relay(tmp_path / "engine.sock", engine.url.removeprefix("unix://"))
    yield relay
    relay.cut()


@pytest.fixture
def cut_off(relay, client, sample, monkeypatch):
    """A lab that reaches its engine through the relay; what it could not remove itself is removed by another way."""
    monkeypatch.setenv("DOCKER_HOST", relay.url)
    lab = open_lab("test-cut-off")
    yield lab
    assert not cleanup.remove_lab(client, lab.id)


def test_an_engine_that_is_gone_is_told_before_the_start(cut_off, relay, sample):
    relay.cut()
    with pytest.raises(EngineUnreachable, match="Start it again"):
        serve(cut_off, sample)


def test_an_engine_that_goes_while_an_application_starts_is_told(cut_off, relay, sample):
    threading.Timer(1.5, relay.cut).start()
    with pytest.raises(EngineUnreachable, match="stopped answering during the work on 'web'"):
        serve(cut_off, sample, command=["sleep", "1000"], name="web")


def test_an_engine_that_goes_during_a_stop_is_told(cut_off, relay, sample):
    service = serve(cut_off, sample, port=None, command=["sleep", "1000"], name="web")
    threading.Timer(1.5, relay.cut).start()
    with pytest.raises(EngineUnreachable, match="'web'"), service:
        stop(service)  # as process 1, `sleep` does not hear SIGTERM: this takes as long as the grace period


def test_what_went_wrong_in_a_block_is_not_hidden_by_an_engine_that_is_gone(cut_off, relay, sample):
    service = serve(cut_off, sample, port=None, command=["sleep", "1000"])
    relay.cut()
    with pytest.raises(ZeroDivisionError), service:
        1 / 0  # noqa: B018
