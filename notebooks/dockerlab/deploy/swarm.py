"""Engines in containers, to be the nodes of a swarm; the user's own engine is never put into one.

A node is a container in which a Docker engine runs: Debian's, on the lesson's base image. It needs `--privileged`,
which is as good as root on the machine, so that is allowed only on the engine that the laboratory brought itself, or
where the reader has said so (`SWITCH`). A swarm's state lives in its nodes alone: it is gone when they are removed,
and they carry the lab's labels, so that the sweep removes them after a killed kernel, too.

A node's engine is asked by its API, at a port that is published on 127.0.0.1. Whoever reaches that API is root on the
node, so it speaks TLS only, and to those alone that show a certificate of an authority that lives as long as the
nodes. That is how Docker's documentation says an engine is to be reached over a network ("Protect the Docker daemon
socket").
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import docker
import requests
import trustme
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.models.networks import Network
from docker.tls import TLSConfig

from ..build.builder import build
from ..engine import engine_errors
from ..errors import LabError, PortTaken, SwarmFailed, SwarmNotAllowed
from ..lab.lab import Lab
from ..records import Build, Event, Rollout, Task
from ..run import traffic
from ..run.container import errors_explained
from . import proxy

SWITCH = "DOCKERLAB_PRIVILEGED"
"""The environment variable that allows privileged containers on an engine that is not the laboratory's own: ``1``."""

DOCKERFILE = """\
ARG BASE_IMAGE=python:3.13.9-slim
FROM ${BASE_IMAGE}

RUN apt-get update \\
    && apt-get install --yes --no-install-recommends docker.io iptables runc \\
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
"""
"""A node's image: Debian's Docker engine, and what it needs from its system."""

API_PORT = 2376
"""The registered port of an engine's API over TLS."""

START_SECONDS = 120
"""How long several engines may take that start at the same time on a small, busy machine (2 s on an idle one)."""

UPDATE_SECONDS = 180

_API_VERSION = "1.41"
"""Spoken by every engine that a base image of ours can have, from Docker 20.10 on (engine API version history)."""

_CERTIFICATES = PurePosixPath("/certs")

_START = f"""\
# With version 2 of control groups, a group that has processes cannot have limited groups below it: make room.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p /sys/fs/cgroup/init
    xargs -rn1 < /sys/fs/cgroup/cgroup.procs > /sys/fs/cgroup/init/cgroup.procs || :
    sed -e 's/ / +/g' -e 's/^/+/' < /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control
fi
exec dockerd --host tcp://0.0.0.0:{API_PORT} --tlsverify \\
    --tlscacert {_CERTIFICATES}/ca.pem --tlscert {_CERTIFICATES}/cert.pem --tlskey {_CERTIFICATES}/key.pem
"""

_HAS_IPVS = """\
import socket, struct, sys

name = b"IPVS\\0" + bytes(3)  # attribute 2: the name of a family, padded to 4 bytes
body = struct.pack("BBH", 3, 1, 0) + struct.pack("HH", 4 + 5, 2) + name  # 3: CTRL_CMD_GETFAMILY
message = struct.pack("IHHII", 16 + len(body), 16, 1, 1, 0) + body  # 16: the controller; 1: a request
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as kernel:  # 16: NETLINK_GENERIC
    kernel.send(message)
    answer = kernel.recv(65536)
sys.exit(struct.unpack_from("H", answer, 4)[0] == 2)  # 2: NLMSG_ERROR
"""
"""Asks the kernel for IPVS (generic netlink, linux/genetlink.h), which loads the module where there is one."""


# --- allowed? --------------------------------------------------------------------------------------------------------


def require_privileged(lab: Lab) -> None:
    """Make sure that privileged containers are allowed on the lab's engine.

    Raises:
        SwarmNotAllowed: it is the user's own engine, and the reader has not set `SWITCH`; or it is Podman.
    """
    if lab.engine.kind == "podman":
        raise SwarmNotAllowed("Podman has no Swarm mode.", "Use a Docker engine for this part.")
    if lab.engine.source != "embedded" and os.environ.get(SWITCH) != "1":
        raise SwarmNotAllowed(
            "This part starts engines in privileged containers, which are as good as root on the engine's machine, "
            f"and {lab.engine.describe()} is not the laboratory's own.",
            f"If you agree, set the environment variable {SWITCH}=1, start JupyterLab anew, and run the lesson from "
            "its first cell. The engine itself is not put into a swarm. What stands above this cell needs none of it.",
        )


# --- nodes -----------------------------------------------------------------------------------------------------------


class Node:
    """An engine in a container.

    Attributes:
        lab: the lab it belongs to.
        name: its name in the swarm: ``node1``.
        container: the docker SDK's container on the lab's engine.
        client: the docker SDK's client of the engine in it.
        environment: pass it as `env` to `subprocess.run`: `docker` then talks to the engine in it.
    """

    def __init__(self, lab: Lab, name: str, container: Container, certificates: Path) -> None:
        self.lab = lab
        self.name = name
        self.container = container
        self._certificates = certificates
        self.client: docker.DockerClient | None = None
        self.environment: dict[str, str] = {}

    def __repr__(self) -> str:
        return self.name

    @property
    def address(self) -> str:
        """Its address on the nodes' network, at which the other nodes reach it."""
        with errors_explained(self.lab, self.name):
            self.container.reload()
        return next(iter(self.container.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]

    def url(self, port: int = 80) -> str:
        """Where a port of the node answers from outside: ``http://127.0.0.1:49153``.

        Raises:
            SwarmFailed: the node does not run, or does not publish that port.
        """
        if not (found := self._published(port)):
            raise SwarmFailed(f"{self.name} does not run, or does not publish port {port}.", "Start the nodes anew.")
        return f"http://127.0.0.1:{found}"

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 120) -> str:
        """Run `docker` with these arguments on this node, and return what it wrote to stdout.

        Args:
            environment: further variables, such as those that a stack file names.
            timeout: seconds after which it is ended.

        Raises:
            SwarmFailed: it ended with an error, or the time is over; its own words are in the message.
        """
        command = " ".join(["docker", *arguments[:3]])
        try:
            told = subprocess.run(
                ["docker", *arguments],
                env={**self.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,  # its own words say more than CalledProcessError
            )
        except FileNotFoundError as error:
            do = "Install the docker command line with your system's packages."
            raise SwarmFailed("There is no `docker` command here.", do) from error
        except subprocess.TimeoutExpired as error:
            do = "Look at `docker service ps`: what does it wait for?"
            raise SwarmFailed(f"`{command}` was not done on {self.name} within {timeout:g} s.", do) from error
        if told.returncode:
            raise _failed(command, self.name, told.stderr or told.stdout)
        return told.stdout

    def has_ipvs(self) -> bool:
        """Whether the kernel has IPVS, which Swarm's virtual addresses and its routing mesh need."""
        with errors_explained(self.lab, self.name):
            return self.container.exec_run(["python3", "-c", _HAS_IPVS]).exit_code == 0

    def kill(self) -> None:
        """End the node at once, with all that runs on it, as a power cut does."""
        with errors_explained(self.lab, self.name):
            self.container.kill()

    def _published(self, port: int) -> str:
        with errors_explained(self.lab, self.name):
            self.container.reload()
        bindings = self.container.attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp") or []
        return bindings[0]["HostPort"] if bindings else ""

    @contextlib.contextmanager
    def _asking(self, command: str) -> Iterator[None]:
        """Say it clearly where the engine in the node does not answer, or refuses.

        Args:
            command: what would be typed for the same: ``docker service ps``.
        """
        try:
            yield
        except NotFound:
            raise
        except APIError as error:
            raise _failed(command, self.name, engine_errors.words(error)) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            seen = f"The engine in {self.name} does not answer ({type(error).__name__})."
            raise SwarmFailed(seen, "Does the node still run? Ask another one, or start the nodes again.") from error

    def _disconnect(self) -> None:
        if self.client:
            self.client.close()

    def _connect(self, deadline: float) -> None:
        """Wait until its engine answers."""
        folder = self._certificates
        tls = TLSConfig(
            client_cert=(str(folder / "cert.pem"), str(folder / "key.pem")),
            ca_cert=str(folder / "ca.pem"),
            verify=True,
        )
        while True:
            self._disconnect()
            try:
                # The port is there while the container runs.
                host = f"tcp://127.0.0.1:{self._published(API_PORT) or 1}"
                self.client = docker.DockerClient(base_url=host, version=_API_VERSION, timeout=120, tls=tls)
                # What the environment says of authorities and proxies is not for this: it goes before `ca_cert`.
                self.client.api.trust_env = False
                self.client.ping()
                break
            except (DockerException, requests.RequestException, OSError) as error:
                log = self.container.logs(tail=15).decode(errors="replace")
                if self.container.status == "exited":
                    do = "Its log says why."
                    raise SwarmFailed(f"The engine in {self.name} ended.", do, log=log) from error
                if time.monotonic() > deadline:
                    do = "Its log may say why; on a busy machine, try again."
                    raise SwarmFailed(f"The engine in {self.name} does not answer.", do, log=log) from error
                time.sleep(0.1)
        self.environment = {
            **self.lab.engine.environment,
            "DOCKER_HOST": host,
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(folder),
        }


class Nodes(dict[str, Node]):
    """Engines in containers on a network of their own, by their names. Removed together, with all that is in them."""

    def __init__(self, lab: Lab, network: Network, certificates: Path) -> None:
        super().__init__()
        self.lab = lab
        self.network = network
        self.certificates = certificates

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            self.close()
        except LabError:
            if error is None:  # what went wrong in the block says more
                raise

    def __repr__(self) -> str:
        return f"{len(self)} engines: {', '.join(self)}"

    def close(self) -> None:
        """Remove the nodes: their engines, and whatever these hold. Safe to call twice."""
        with errors_explained(self.lab, "the nodes"):
            for node in self.values():
                node._disconnect()
            with ThreadPoolExecutor(max(len(self), 1)) as pool:
                list(pool.map(_remove, [node.container for node in self.values()]))
            with contextlib.suppress(NotFound):
                self.network.remove()
        shutil.rmtree(self.certificates, ignore_errors=True)


def node_image(lab: Lab) -> Build:
    """Build the image of the nodes: the lesson's base image, and Debian's Docker engine in it.

    Raises:
        BuildFailed: the base image's packages cannot be had.
    """
    folder = lab.workspace / ".swarm" / "image"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return build(lab, folder, name="node", progress=False)


def start_nodes(
    lab: Lab,
    count: int = 1,
    *,
    image: str | Build | None = None,
    name: str = "node",
    host_ports: Sequence[int | None] = (),
) -> Nodes:
    """Start engines in containers, side by side, and wait until each answers. They are no swarm yet.

    Each publishes its port 80 on 127.0.0.1, for what will be published on the node.

    Args:
        lab: the open lab.
        count: how many.
        image: the nodes' image; built if None.
        name: what their names begin with; a number follows.
        host_ports: the ports of this machine at which their ports 80 are published; the engine picks the others.

    Raises:
        SwarmNotAllowed: privileged containers are not allowed on this engine.
        SwarmFailed: an engine did not start; the end of its log is shown.
        PortTaken: something else has one of `host_ports`.
        LabError: there is no such image, or the lab's engine refuses such a container.
    """
    if not isinstance(count, int) or count < 1:
        raise LabError(f"{count!r} nodes cannot be started.", "Start one or more: start_nodes(lab, 3).")
    require_privileged(lab)
    image = image or node_image(lab)
    tag = image.image if isinstance(image, Build) else image
    folder = lab.workspace / ".swarm"
    folder.mkdir(parents=True, exist_ok=True)
    certificates = Path(tempfile.mkdtemp(dir=folder, prefix="certificates-"))  # for this user alone
    authority = trustme.CA()
    _write_client(certificates, authority)
    server = authority.issue_cert("127.0.0.1", "localhost")
    files = {
        _CERTIFICATES / "ca.pem": authority.cert_pem.bytes(),
        _CERTIFICATES / "cert.pem": b"".join(pem.bytes() for pem in server.cert_chain_pems),
        _CERTIFICATES / "key.pem": server.private_key_pem.bytes(),
    }
    nodes = Nodes(lab, proxy.network(lab, f"{name}s"), certificates)
    deadline = time.monotonic() + START_SECONDS
    ports = [*host_ports, *[None] * count][:count]

    def start(number: int) -> Node:
        node = Node(
            lab, f"{name}{number}", _create(lab, tag, f"{name}{number}", nodes.network, ports[number - 1]), certificates
        )
        nodes[node.name] = node
        proxy.copy_into(node.container, files)
        _start(node, ports[number - 1])
        node._connect(deadline)
        return node

    try:
        with errors_explained(lab, "the nodes"), ThreadPoolExecutor(count) as pool:
            started = [future.result() for future in [pool.submit(start, number) for number in range(1, count + 1)]]
    except BaseException:
        nodes.close()
        raise
    nodes.clear()
    nodes.update({node.name: node for node in started})  # in their order
    return nodes


def _create(lab: Lab, tag: str, name: str, network: Network, host_port: int | None) -> Container:
    try:
        return lab.client.containers.create(
            tag,
            ["sh", "-c", _START],
            name=lab.name(name),
            hostname=name,
            labels=lab.labels,
            network=network.name,
            ports={f"{API_PORT}/tcp": ("127.0.0.1", None), "80/tcp": ("127.0.0.1", host_port)},
            volumes=["/var/lib/docker"],  # without a name, it goes with the container
            privileged=True,
            init=True,  # what the engine's containers leave behind comes to process 1
        )
    except ImageNotFound as error:
        seen = f"There is no image {tag} on the engine, so there can be no node."
        raise LabError(seen, "Build it first: `node_image(lab)`.") from error
    except APIError as error:
        words = str(error.explanation or error).strip()
        if error.status_code == 409:
            seen = f"There is a container for {name!r} already, from a cell that was run before."
            raise LabError(seen, "Close those nodes first, or give these another name.") from error
        raise LabError(f"The engine would not create {name!r}: {words}.", "Look at what it says.") from error


def _start(node: Node, host_port: int | None) -> None:
    try:
        node.container.start()
    except APIError as error:
        words = str(error.explanation or error).strip()
        if "already allocated" in words or "already in use" in words:
            do = "Stop what has it, or choose another; without `host_ports` the engine picks free ones."
            raise PortTaken(f"Port {host_port} of this machine is taken.", do) from error
        do = "Look at what it says: some engines allow no privileged containers at all."
        raise SwarmFailed(f"The engine would not start {node.name}: {words}.", do) from error


def _remove(container: Container) -> None:
    with contextlib.suppress(NotFound):
        container.remove(force=True, v=True)


def _write_client(folder: Path, authority: trustme.CA) -> None:
    """What a client shows and trusts, by the names at which `docker` looks for it (`DOCKER_CERT_PATH`)."""
    client = authority.issue_cert("laboratory@dockerlab.example")
    (folder / "ca.pem").write_bytes(authority.cert_pem.bytes())
    (folder / "cert.pem").write_bytes(b"".join(pem.bytes() for pem in client.cert_chain_pems))
    key = folder / "key.pem"
    key.touch(mode=0o600)
    key.write_bytes(client.private_key_pem.bytes())


# --- images ----------------------------------------------------------------------------------------------------------


def give(nodes: Iterable[Node], images: Sequence[str | Build]) -> None:
    """Copy images from the lab's engine to nodes, as `docker save` and `docker load` do. There is no registry here.

    Args:
        nodes: who gets them, side by side.
        images: which; layers that several share are sent once.

    Raises:
        LabError: there is no such image on the lab's engine, or no room for the copy on this machine.
        SwarmFailed: a node's engine does not answer, or refuses an image.
    """
    nodes = list(nodes)
    if not nodes or not images:
        return
    lab = nodes[0].lab
    tags = [image.image if isinstance(image, Build) else image for image in images]
    api = lab.client.api
    with tempfile.TemporaryDirectory(dir=lab.workspace, prefix=".images-") as folder:
        archive = Path(folder) / "images.tar"
        with errors_explained(lab, "the nodes"):
            for tag in tags:
                try:
                    api.inspect_image(tag)
                except ImageNotFound as error:
                    seen = f"There is no image {tag} on the engine, so it cannot be given to a node."
                    raise LabError(seen, "Build it first: run the cells above this one.") from error
            with (
                api._get(api._url("/images/get"), params={"names": tags}, stream=True) as answer,
                archive.open("wb") as file,
            ):
                api._raise_for_status(answer)
                for chunk in answer.iter_content(1 << 20):
                    file.write(chunk)

        def load(node: Node) -> None:
            with archive.open("rb") as file, node._asking("docker load"):
                node.client.images.load(file)

        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(load, nodes))


# --- services and their tasks ----------------------------------------------------------------------------------------


def tasks(manager: Node, service: str) -> list[Task]:
    """The tasks of a service, the youngest first: those that run, and what the swarm remembers of those that did.

    Raises:
        SwarmFailed: there is no such service, the node is no manager, or its engine does not answer.
    """
    found = _service(manager, service)
    with manager._asking("docker service ps"):
        nodes = {item.id: item.attrs["Description"]["Hostname"] for item in manager.client.nodes.list()}
        told = manager.client.api.tasks({"service": found["ID"]})
    told.sort(key=lambda task: task["CreatedAt"], reverse=True)
    return [
        Task(
            id=task["ID"],
            slot=task.get("Slot", 0),
            node=nodes.get(task.get("NodeID", ""), ""),
            image=task["Spec"]["ContainerSpec"]["Image"],
            wanted=task["DesiredState"],
            state=task["Status"]["State"],
            container=(task["Status"].get("ContainerStatus") or {}).get("ContainerID", ""),
            exit_code=(task["Status"].get("ContainerStatus") or {}).get("ExitCode") if _has_ended(task) else None,
            error=task["Status"].get("Err", ""),
        )
        for task in told
    ]


def _has_ended(task: Mapping[str, Any]) -> bool:
    return task["Status"]["State"] in ("complete", "shutdown", "failed", "rejected", "remove")


def running(manager: Node, service: str) -> list[Task]:
    """The tasks of a service that run, and are meant to."""
    return [task for task in tasks(manager, service) if task.wanted == "running" and task.state == "running"]


def wait_until(condition: Callable[[], object], what: str, *, timeout: float = UPDATE_SECONDS) -> None:
    """Wait until something is so: look every now and then.

    Args:
        condition: tells whether it is.
        what: what is waited for, for the error: ``3 tasks run``.
        timeout: how many seconds it may take.

    Raises:
        SwarmFailed: it did not become so in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            do = "Look at `docker service ps`: its column ERROR says why a task does not run."
            raise SwarmFailed(f"After {timeout:g} s it was still not so that {what}.", do)
        time.sleep(0.1)


def wait_for_replicas(manager: Node, service: str, count: int, *, timeout: float = UPDATE_SECONDS) -> list[Task]:
    """Wait until so many tasks of a service run, each healthy where it has a health check, and no task is starting.

    Raises:
        SwarmFailed: they do not in time.
    """

    def settled() -> bool:
        wanted = [task for task in tasks(manager, service) if task.wanted in ("running", "ready")]
        return len(wanted) == count and all(task.state == "running" for task in wanted)

    wait_until(settled, f"{count} tasks of {service} run", timeout=timeout)
    return running(manager, service)


def rollout(
    name: str,
    manager: Node,
    service: str,
    change: Callable[[], object],
    *,
    url: str,
    path: str = "/",
    per_second: float = 100,
    before_seconds: float = 1,
    after_seconds: float = 1,
    timeout: float = UPDATE_SECONDS,
) -> Rollout:
    """Change a service under traffic, and observe it until the swarm says that the update is over and the tasks that
    it took away have ended.

    Args:
        name: the short name for the record.
        manager: a manager of the swarm.
        service: the service that is changed.
        change: changes it: runs `docker stack deploy`, or `docker service update`.
        url: where requests are sent.
        path: what they ask for.
        per_second: how many are sent each second.
        before_seconds: for how long they are sent before the change, at least.
        after_seconds: likewise, after its end.
        timeout: how many seconds the update may take.

    Raises:
        SwarmFailed: the change was refused, changed nothing, or was not over in time.
        LabError: this machine could not send what was asked for.
    """
    earlier = _update(manager, service).get("StartedAt", "")
    earlier_tasks = {task.id: task for task in tasks(manager, service)}
    with traffic.steady(url, path, per_second=per_second, timeout_seconds=30) as requests_:
        time.sleep(before_seconds)
        began = time.perf_counter()
        change()

        def is_over() -> bool:
            update = _update(manager, service)
            return update.get("StartedAt", "") != earlier and update.get("State", "") in _OVER

        wait_until(is_over, f"the update of {service} was over", timeout=timeout)
        updated = time.perf_counter()
        state = _update(manager, service)["State"]

        def have_ended() -> bool:
            return all(task.state in _ENDED for task in tasks(manager, service) if task.wanted == "shutdown")

        wait_until(have_ended, f"the old tasks of {service} had ended", timeout=timeout)
        ended = time.perf_counter()
        time.sleep(after_seconds)
    events = (
        Event(began - requests_.began, "begins"),
        Event(updated - requests_.began, _WORDS.get(state, state)),
        Event(ended - requests_.began, "the old tasks have ended"),
    )
    all_tasks = tasks(manager, service)
    return Rollout(
        name=name,
        outcome=_WORDS.get(state, state),
        traffic=requests_.traffic,
        events=events,
        ended=tuple(
            task
            for task in all_tasks
            if task.id in earlier_tasks and earlier_tasks[task.id].state not in _ENDED and task.state in _ENDED
        ),
        failed=tuple(task for task in all_tasks if task.id not in earlier_tasks and task.state in _ENDED),
        running=tuple(task for task in all_tasks if task.wanted == "running" and task.state == "running"),
    )


_ENDED = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")
_OVER = ("completed", "paused", "rollback_completed", "rollback_paused")
_WORDS = {"rollback_completed": "rolled back", "rollback_paused": "rollback paused"}


def _service(manager: Node, service: str) -> dict[str, Any]:
    try:
        with manager._asking("docker service inspect"):
            return manager.client.api.inspect_service(service)
    except NotFound as error:
        seen = f"The swarm has no service {service!r}."
        raise SwarmFailed(seen, "Deploy the stack first; a service's name begins with the stack's.") from error


def _update(manager: Node, service: str) -> dict[str, Any]:
    return _service(manager, service).get("UpdateStatus") or {}


# --- errors ----------------------------------------------------------------------------------------------------------

_ADVICE = {
    "no such file or directory": "Run the cell that writes the file.",
    "Additional property": "There is no such key: look at its spelling and at its indentation.",
    "unsupported option": "There is no such key: look at its spelling and at its indentation.",
    "must be a": "That key takes a value of another kind: look at it.",
    "yaml:": "The file is not valid YAML: look at that line, and at the one above it.",
    "not a swarm manager": "Make the node a manager first: `docker swarm init`.",
    "invalid reference format": "A variable in the name of an image has no value.",
    "required variable": "A variable in the file has no value.",
    "already part of a swarm": "It is a node already: `docker swarm leave --force` undoes it.",
}


def _failed(command: str, node: str, words: str) -> SwarmFailed:
    lines = [line.strip() for line in words.strip().splitlines() if line.strip()]
    said = lines[-1] if lines else "it said nothing"
    said = re.sub(r"^Error response from daemon: (rpc error: code = \w+ desc = )?", "", said).rstrip(".")
    do = next((advice for part, advice in _ADVICE.items() if part in words), "Look at what it says.")
    return SwarmFailed(f"`{command}` failed on {node}: {said}.", do)
