"""Three learners at one hub, for real: `make hub-proof`. Not part of `make test`, for it takes many minutes.

The learners' image is on the engine already. They log in over HTTP, and each runs a lesson to its end at the same time
as the others, by the messages that JupyterLab sends. What was measured is printed at the end.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import httpx
import pytest
from docker.errors import NotFound

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "workshop" / "hub")]

import room  # noqa: E402
from learner import Learner, cells_of  # noqa: E402

LESSON = os.environ.get("LESSON", "03_exec_or_shell")
PASSWORD = "three at one hub"
NAMES = [f"proof{secrets.token_hex(3)}{letter}" for letter in "abc"]

pytestmark = pytest.mark.timeout(1800)
measured: dict[str, list[float]] = {}


def note(what: str, value: float) -> None:
    measured.setdefault(what, []).append(value)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def of_learners(client: docker.DockerClient) -> list[str]:
    """What the three have on the engine: containers and volumes, by name."""
    found = [item.name for item in client.containers.list(all=True)] + [item.name for item in client.volumes.list()]
    return sorted(name for name in found if any(learner in name for learner in NAMES))


@pytest.fixture(scope="module")
def outer() -> Iterator[docker.DockerClient]:
    """The engine that the hub starts learners' containers on."""
    with room._client() as client:
        assert client.images.list(room.IMAGE), "the learners' image is not there: `make hub-image`"
        there = client.networks.list(names=[room.NETWORK])
        try:
            yield client
        finally:
            for container in client.containers.list(all=True, filters={"label": room.LABEL}):
                if any(name in container.name for name in NAMES):
                    container.remove(force=True, v=True)
            for name in NAMES:
                with contextlib.suppress(NotFound):
                    client.volumes.get(f"dockerlab-hub-{name}").remove()
            if not there:
                client.api.remove_network(room.NETWORK)


@pytest.fixture(scope="module")
def address(outer, tmp_path_factory) -> Iterator[str]:
    """The address of a hub of its own: beside one that runs here already, too."""
    state = tmp_path_factory.mktemp("hub")
    url = f"http://127.0.0.1:{free_port()}"
    given = {
        "PASSWORD": PASSWORD,
        "LEARNERS": " ".join(NAMES),
        "URL": url,
        "STATE": str(state),
        "HUB_PORT": str(free_port()),
        "PROXY_PORT": str(free_port()),
    }
    environment = os.environ | {f"DOCKERLAB_HUB_{name}": text for name, text in given.items()}
    command = [sys.executable, "-m", "jupyterhub", "--config", str(ROOT / "workshop" / "hub" / "jupyterhub_config.py")]
    log = state / "log"
    with log.open("wb") as out:
        hub = subprocess.Popen(command, cwd=state, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/hub/health", trust_env=False).status_code == 200:
                    break
            assert hub.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield url
    finally:
        hub.send_signal(signal.SIGTERM)
        hub.wait(120)
        print(log.read_text()[-6000:] if os.environ.get("HUB_LOG") else "")


@pytest.fixture(scope="module")
def learners(address) -> list[Learner]:
    """Three who logged in, each with a server that answers: started at the same time."""
    learners = [Learner(name, address) for name in NAMES]
    for learner in learners:
        assert learner.log_in(PASSWORD) == 302
        learner.ask_for_token()
    for seconds in at_once(Learner.start, learners):
        note("seconds to a ready server, three started at once", seconds)
    return learners


def at_once(do, learners: list[Learner]) -> list:
    with ThreadPoolExecutor(len(learners)) as pool:
        return list(pool.map(do, learners))


def container_of(client: docker.DockerClient, learner: Learner):
    return client.containers.get(f"dockerlab-hub-{learner.name}")


def taken_megabytes(container) -> float:
    """As `docker stats` counts: without files that the kernel may drop."""
    memory = container.stats(stream=False)["memory_stats"]
    details = memory["stats"]
    return (memory["usage"] - details.get("total_inactive_file", details.get("inactive_file", 0))) / 1e6


def test_a_wrong_password_is_refused(address):
    assert Learner(NAMES[0], address).log_in(PASSWORD + "!") == 403
    assert Learner(NAMES[0], address).log_in("") == 403


def test_a_name_that_is_not_on_the_list_is_refused(address):
    assert Learner("somebody", address).log_in(PASSWORD) == 403


def test_nobody_reads_at_the_server_of_another(learners):
    one, two, _ = learners
    seen = one.ask("api/contents").raise_for_status().json()["content"]
    assert sorted(item["name"] for item in seen) == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert one.ask("api/contents", of=two.name).status_code in (403, 404)


def test_each_has_an_engine_of_their_own(learners, outer):
    began = time.monotonic()
    find = "from dockerlab import engine\nclient = engine.ensure(lambda line: None).client()"
    base = "tag = engine.base_image.ensure(client, lambda line: None)"
    ids = [printed[-1] for printed in at_once(lambda one: one.run(find, base, "print(client.info()['ID'])"), learners)]
    note("seconds more to an engine with the base image", time.monotonic() - began)
    assert len({*ids, outer.info()["ID"]}) == 4, "two share an engine"
    typed = "import os\nprint(os.popen(\"docker info --format '{{.ID}}'\").read())"
    assert at_once(lambda one: one.run(typed), learners) == [[id_] for id_ in ids], "what learners type goes elsewhere"

    one, two, _ = learners
    one.run(find, base, "client.containers.create(tag.tag, name='of-one')")
    names = "print([container.name for container in client.containers.list(all=True)])"
    assert one.run(find, names)[-1] == "['of-one']"
    assert two.run(find, names)[-1] == "[]"
    assert not [container for container in outer.containers.list(all=True) if container.name == "of-one"]
    one.run(find, "client.containers.get('of-one').remove()")


def test_learners_do_not_reach_each_other(learners, outer):
    one, two, _ = learners
    place = next(iter(container_of(outer, two).attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
    knock = f"""
import socket
try:
    socket.create_connection(({place!r}, 8888), timeout=3).close()
    print("open")
except OSError as error:
    print("closed")
"""
    assert one.run(knock) == ["closed"]
    assert two.run(knock) == ["open"], "nobody listens there, so this test tells nothing"


def test_each_runs_a_lesson_to_its_end_at_the_same_time(learners, outer):
    cells = cells_of(ROOT / "notebooks" / f"{LESSON}.ipynb")
    containers = [container_of(outer, learner) for learner in learners]
    for container in containers:
        note("MB a learner takes before the lesson", taken_megabytes(container))
    peaks, done = [0.0] * len(containers), threading.Event()

    def watch(number: int) -> None:
        while not done.wait(1):
            peaks[number] = max(peaks[number], taken_megabytes(containers[number]))

    with ThreadPoolExecutor(len(containers)) as watching:
        for number in range(len(containers)):
            watching.submit(watch, number)
        began = time.monotonic()
        try:
            printed = at_once(lambda one: one.run(*cells, notebook=f"{LESSON}.ipynb"), learners)
        finally:
            done.set()
    note(f"seconds that {LESSON} took, three at once", time.monotonic() - began)
    for peak in peaks:
        note("MB a learner takes at most in the lesson", peak)
    for text in printed:
        assert "is left on the engine" in text[-1]


def test_a_learner_cannot_take_more_memory_than_allowed(learners, outer):
    one, two, _ = learners
    hungry = """
from dockerlab import engine
client = engine.ensure(lambda line: None).client()
tag = engine.base_image.ensure(client, lambda line: None).tag
container = client.containers.run(tag, ["python3", "-c", "b'x' * (6 << 30); print('had it')"], detach=True)
code = container.wait()["StatusCode"]
container.remove()
print(code)
"""
    assert outer.info()["MemTotal"] > 8 << 30, "this machine has too little memory for this test to tell anything"
    assert one.run(hungry) == ["137"]
    assert two.run("print(6 * 7)") == ["42"]


def test_a_stopped_server_leaves_the_files_and_nothing_else(learners, outer):
    for learner in learners:
        learner.run(f"open('{room.WORKSPACE}/mine.txt', 'w').write({learner.name!r})")
    nameless = {mount["Name"] for learner in learners for mount in container_of(outer, learner).attrs["Mounts"]}
    nameless -= {f"dockerlab-hub-{name}" for name in NAMES}
    assert len(nameless) == 3, "each engine's data lie on a volume of their own"
    at_once(Learner.stop, learners)
    deadline = time.monotonic() + 60  # the engine removes a stopped container by itself
    while of_learners(outer) != sorted(f"dockerlab-hub-{name}" for name in NAMES):
        assert time.monotonic() < deadline, of_learners(outer)
        time.sleep(0.5)
    while left := nameless & {volume.name for volume in outer.volumes.list()}:
        assert time.monotonic() < deadline, left
        time.sleep(0.5)

    one = learners[0]
    note("seconds to a ready server, one that was there before", one.start())
    assert one.run("print(open('mine.txt').read())") == [one.name]
    one.stop()


def test_what_was_measured():
    print()
    for what, values in measured.items():
        print(f"{what}: {', '.join(f'{value:.0f}' for value in values)}")
