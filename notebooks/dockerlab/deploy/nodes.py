"""Engines in containers, to be the nodes of a swarm; the user's own engine is never put into one.

A node is a container in which a Docker engine runs: Debian's, on the lesson's base image. It needs `--privileged`,
which is as good as root on the machine, so that is allowed only on the engine that the laboratory brought itself, or
where the reader has said so (`SWITCH`). A swarm's state lives in its nodes alone: it is gone when they are removed,
and they carry the lab's labels, so that the sweep removes them after a killed kernel, too.

A node's engine is reached by its API, at a port that is published on 127.0.0.1. Anyone who reaches that API is root on
the node, so it speaks TLS only, and only to clients with a certificate of an authority that lives as long as the nodes.
That is how Docker's documentation says an engine is to be reached over a network ("Protect the Docker daemon socket").
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from ..engine import engine_errors, raw_api
from ..errors import LabError, SwarmFailed, SwarmNotAllowed
from ..lab.lab import Lab
from ..records import Build
from ..run.container import errors_explained
from ..run.container_files import copy_into
from ..wait import tries
from .docker_cli import advice, run_command
from .networks import network, published

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
            f"If you agree, set the environment variable {SWITCH}=1, restart JupyterLab, and run the lesson from "
            "its first cell. The engine itself is not put into a swarm. What stands above this cell needs none of it.",
        )


class Node:
    """An engine in a container.

    Attributes:
        lab: the lab it belongs to.
        name: its name in the swarm: ``node1``.
        container: the docker SDK's container on the lab's engine.
        client: the docker SDK's client of the engine in it.
        environment: pass it as `env` to `subprocess.run`: `docker` then talks to the engine in it.
    """

    client: docker.DockerClient

    def __init__(self, lab: Lab, name: str, container: Container, certificates: Path) -> None:
        self.lab = lab
        self.name = name
        self.container = container
        self.environment: dict[str, str] = {}
        self._certificates = certificates

    def __repr__(self) -> str:
        return self.name

    @property
    def address(self) -> str:
        """Its address on the nodes' network, at which the other nodes reach it."""
        with errors_explained(self.lab, self.name):
            self.container.reload()
        return str(next(iter(self.container.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"])

    def url(self, port: int = 80) -> str:
        """Where a port of the node answers from outside: ``http://127.0.0.1:49153``.

        Raises:
            SwarmFailed: the node does not run, or does not publish that port.
        """
        with errors_explained(self.lab, self.name):
            if found := published(self.container, port):
                return f"http://127.0.0.1:{found}"
        raise SwarmFailed(f"{self.name} does not run, or does not publish port {port}.", "Start the nodes again.")

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, timeout: float = 120) -> str:
        """Run `docker` with these arguments on this node, and return what it wrote to stdout.

        Args:
            environment: further variables, such as those that a stack file names.
            timeout: seconds after which it is ended.

        Raises:
            SwarmFailed: it ended with an error, or the time is over; its own words are in the message.
        """
        command = " ".join(["docker", *arguments[:3]])
        variables = {**self.environment, **(environment or {})}
        try:
            done = run_command("docker", *arguments, environment=variables, timeout=timeout)
        except FileNotFoundError as error:
            do = "Install the docker command line with your system's packages."
            raise SwarmFailed("There is no `docker` command here.", do) from error
        except subprocess.TimeoutExpired as error:
            do = "Look at `docker service ps`: what does it wait for?"
            raise SwarmFailed(f"`{command}` did not finish on {self.name} within {timeout:g} s.", do) from error
        if done.returncode:
            raise _failed(command, self.name, done.stderr or done.stdout)
        return done.stdout

    def has_ipvs(self) -> bool:
        """Whether the kernel has IPVS, which Swarm's virtual addresses and its routing mesh need."""
        with errors_explained(self.lab, self.name):
            return self.container.exec_run(["python3", "-c", _HAS_IPVS]).exit_code == 0

    def kill(self) -> None:
        """End the node at once, with all that runs on it, as a power cut does."""
        with errors_explained(self.lab, self.name):
            self.container.kill()

    @contextlib.contextmanager
    def explained(self, command: str) -> Iterator[None]:
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

    def _connect(self) -> None:
        """Wait until its engine answers."""
        folder = self._certificates
        tls = TLSConfig(
            client_cert=(str(folder / "cert.pem"), str(folder / "key.pem")), ca_cert=str(folder / "ca.pem"), verify=True
        )
        host = f"tcp://127.0.0.1:{published(self.container, API_PORT) or 1}"  # none where it has ended already
        self.client = docker.DockerClient(base_url=host, version=_API_VERSION, timeout=120, tls=tls)
        # What the environment says of authorities and proxies is not for this: it goes before `ca_cert`.
        self.client.api.trust_env = False
        self.environment = {
            **self.lab.engine.environment,
            "DOCKER_HOST": host,
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(folder),
        }
        for seconds_left in tries(START_SECONDS, every=0.1):
            try:
                self.client.ping()
                return
            except (DockerException, requests.RequestException, OSError) as error:
                self.container.reload()
                log = self.container.logs(tail=15).decode(errors="replace")
                if self.container.status == "exited":
                    do = "Its log says why."
                    raise SwarmFailed(f"The engine in {self.name} ended.", do, log=log) from error
                if not seconds_left:
                    do = "Its log may say why; on a busy machine, try again."
                    raise SwarmFailed(f"The engine in {self.name} does not answer.", do, log=log) from error

    def _close(self) -> None:
        if self.environment:
            self.client.close()
        with contextlib.suppress(NotFound):
            self.container.remove(force=True, v=True)


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
            with ThreadPoolExecutor(max(len(self), 1)) as pool:
                list(pool.map(Node._close, self.values()))
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


def start_nodes(lab: Lab, count: int = 1, *, image: str | Build | None = None) -> Nodes:
    """Start engines in containers, side by side, and wait until each answers. They are no swarm yet.

    Each publishes its port 80 on 127.0.0.1, for what will be published on the node; the engine picks the port there.

    Args:
        lab: the open lab.
        count: how many.
        image: the nodes' image; built if None.

    Raises:
        SwarmNotAllowed: privileged containers are not allowed on this engine.
        SwarmFailed: an engine did not start; the end of its log is shown.
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
    for file, content in _certificate_files(authority, "laboratory@dockerlab.example").items():
        (certificates / file).write_bytes(content)
    server = _certificate_files(authority, "127.0.0.1", "localhost")
    nodes = Nodes(lab, network(lab, "nodes"), certificates)
    names = [f"node{number}" for number in range(1, count + 1)]

    def start(name: str) -> None:
        node = nodes[name] = Node(lab, name, _create(lab, tag, name, nodes.network), certificates)
        copy_into(node.container, {_CERTIFICATES / file: content for file, content in server.items()})
        try:
            node.container.start()
        except APIError as error:
            do = "Look at what it says: some engines allow no privileged containers at all."
            raise SwarmFailed(f"The engine would not start {name}: {engine_errors.words(error)}.", do) from error
        node._connect()

    try:
        with errors_explained(lab, "the nodes"), ThreadPoolExecutor(count) as pool:
            list(pool.map(start, names))
    except BaseException:
        nodes.close()
        raise
    for name in names:  # in their order
        nodes[name] = nodes.pop(name)
    return nodes


def _create(lab: Lab, tag: str, name: str, network: Network) -> Container:
    ports: dict[str, Any] = {f"{API_PORT}/tcp": ("127.0.0.1", None), "80/tcp": ("127.0.0.1", None)}
    try:
        return lab.client.containers.create(
            tag,
            ["sh", "-c", _START],
            name=lab.name(name),
            hostname=name,
            labels=lab.labels,
            network=network.name,
            ports=ports,
            volumes=["/var/lib/docker"],  # without a name, it goes with the container
            privileged=True,
            init=True,  # what the engine's containers leave behind comes to process 1
        )
    except ImageNotFound as error:
        seen = f"There is no image {tag} on the engine, so there can be no node."
        raise LabError(seen, "Build it first: `node_image(lab)`.") from error
    except APIError as error:
        if error.status_code == 409:
            seen = f"There is a container for {name!r} already, from a cell that was run before."
            raise LabError(seen, "Close those nodes first, or give these another name.") from error
        seen = f"The engine would not create {name!r}: {engine_errors.words(error)}."
        raise LabError(seen, "Look at what it says.") from error


def _certificate_files(authority: trustme.CA, *identities: str) -> dict[str, bytes]:
    """What one side shows and trusts, by the names at which `docker` looks for it (`DOCKER_CERT_PATH`)."""
    certificate = authority.issue_cert(*identities)
    return {
        "ca.pem": authority.cert_pem.bytes(),
        "cert.pem": b"".join(pem.bytes() for pem in certificate.cert_chain_pems),
        "key.pem": certificate.private_key_pem.bytes(),
    }


def give(nodes: Iterable[Node], images: Sequence[str | Build]) -> None:
    """Copy images from the lab's engine to nodes, as `docker save` and `docker load` do. There is no registry here.

    Args:
        nodes: where to, side by side.
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
    with tempfile.TemporaryDirectory(dir=lab.workspace, prefix=".images-") as folder:
        archive = Path(folder) / "images.tar"
        with errors_explained(lab, "the nodes"):
            for tag in tags:
                try:
                    lab.client.images.get(tag)
                except ImageNotFound as error:
                    seen = f"There is no image {tag} on the engine, so it cannot be given to a node."
                    raise LabError(seen, "Build it first: run the cells above this one.") from error
            # The SDK's own method saves one image at a time.
            answer = raw_api.request(lab.client, "get", "/images/get", params={"names": tags}, stream=True)
            with answer, archive.open("wb") as file:
                for chunk in answer.iter_content(1 << 20):
                    file.write(chunk)

        def load(node: Node) -> None:
            with archive.open("rb") as file, node.explained("docker load"):
                node.client.images.load(file)

        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(load, nodes))


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
    return SwarmFailed(f"`{command}` failed on {node}: {said}.", advice(words, _ADVICE))
