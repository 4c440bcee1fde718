"""Find the engine that the user already has, and say what it is. Nothing is ever started here."""

from __future__ import annotations

import os
import platform
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig
from requests.exceptions import JSONDecodeError, RequestException

from ..errors import EngineMissing, EngineUnreachable
from . import endpoints, systems, versions
from .endpoints import Endpoint

HELLO_SECONDS = 15
"""How long an engine may take to say which API it speaks. One that does not, hangs; others may need longer to work."""

PODMAN_LIMITS = (
    "Podman answers on Docker's socket, and not everything is the same: its builder reports steps as text only, "
    "its build cache cannot be listed, and there is no Swarm mode."
)


@dataclass(frozen=True, kw_only=True)
class Engine(Endpoint):
    """An engine that answered, and its endpoint.

    Attributes:
        kind: ``docker`` or ``podman``.
        id: the engine's own id, as `docker info` shows it.
        version: ``26.1.5``, without what a distribution adds to it.
        api_version: the newest API that it speaks: ``1.45``.
        os: the system it runs on: ``Debian GNU/Linux 12 (bookworm)``, ``Docker Desktop``.
        arch: ``amd64``, ``arm64``, in Go's words.
        storage: where layers are kept: ``overlay2``, ``overlayfs`` (the containerd store), ``vfs``.
        cgroup: ``1`` or ``2``.
        rootless: whether the engine itself runs without root.
    """

    kind: str
    id: str
    version: str
    api_version: str
    os: str
    arch: str
    storage: str
    cgroup: str
    rootless: bool

    def client(self, timeout: float = 120) -> docker.DockerClient:
        """A client of the docker SDK for this engine.

        Args:
            timeout: seconds that the engine may be silent during a request; at most `HELLO_SECONDS` during the first,
                a request for its version.

        Raises:
            EngineUnreachable: the engine no longer answers.
        """
        return _connect(self, timeout)

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment for a docker CLI that talks to this engine; pass it as `env` to `subprocess.run`."""
        return _environment(self)

    def describe(self) -> str:
        """One line for people: ``Docker Engine 26.1.5 (overlay2), embedded``."""
        name = "Podman" if self.kind == "podman" else "Docker Engine"
        rootless = ", rootless" if self.rootless else ""
        return f"{name} {self.version} ({self.storage}{rootless}), {self.source}"


def _environment(endpoint: Endpoint) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "DOCKER_CONTEXT"}
    environment["DOCKER_HOST"] = endpoint.url
    for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        environment.pop(name, None)
    if endpoint.cert_path:
        environment["DOCKER_CERT_PATH"] = str(endpoint.cert_path)
        if endpoint.tls_verify:
            environment["DOCKER_TLS_VERIFY"] = "1"
    if endpoint.source == "embedded" or not shutil.which("docker"):
        environment |= _unpacked_cli(environment)
    return environment


def _unpacked_cli(environment: Mapping[str, str]) -> dict[str, str]:
    from .own import packages  # only where the lab's own docker CLI is meant

    return packages.cli_environment(environment)


def shell_environment() -> dict[str, str]:
    """The whole environment for shells and kernels in which a reader types `docker`. Nothing is asked or started.

    It leads to the embedded engine where that is the one that `find` finds, or that a lesson will start. The reader's
    own engine is found by their own docker CLI, so nothing is named; where they have none, they get the unpacked one.
    """
    home, environment = Path.home(), dict(os.environ)
    own = _own_url()
    try:
        endpoint = endpoints.named(os.environ, home)
    except EngineUnreachable:
        return environment  # the docker CLI says so itself
    if endpoint is None:
        sockets = endpoints.default_sockets(platform.system(), os.environ, home)
        endpoint = next((each for each in sockets if endpoints.knock(each.url) == "listening"), None)
    if endpoint.url == own if endpoint else systems.can_embed():
        return _environment(Endpoint(own, "embedded"))
    # Not beside a context: those are in the folder of settings for which the unpacked CLI has one of its own.
    if endpoint and not endpoint.source.startswith("context ") and not shutil.which("docker"):
        environment |= _unpacked_cli(environment)
    return environment


def find() -> Engine:
    """Find the engine to use: `DOCKER_HOST`, the current context, a default socket, or a running embedded engine.

    Where `DOCKER_HOST` names the embedded engine, that is as if it were not set, but that this one comes first.

    Raises:
        EngineMissing: none of these is there.
        EngineUnreachable: an engine is named or its socket is there, and it cannot be used.
    """
    home = Path.home()
    if endpoint := endpoints.named(os.environ, home):
        if endpoint.url != _own_url():
            return probe(endpoint)
        if own := _running_embedded():
            return probe(own)
    denied = None
    for endpoint in endpoints.default_sockets(platform.system(), os.environ, home):
        answer = endpoints.knock(endpoint.url)
        if answer == "denied":
            denied = denied or endpoint
        elif answer == "listening":
            try:
                return probe(endpoint)
            except EngineUnreachable:
                # Only a request shows whether a named pipe has an engine; a socket that listens is surely an engine's.
                if not endpoint.url.startswith("npipe:"):
                    raise
    if own := _running_embedded():
        return probe(own)
    if denied:
        raise EngineUnreachable(
            f"There is an engine's socket at {denied.url}, and this user may not open it.",
            'Add yourself to its group: `sudo usermod -aG docker "$USER"`, then log in again.',
        )
    raise EngineMissing(*systems.missing())


def _own_url() -> str:
    from .own.engine_folder import EngineFolder  # only where an engine is named, or a terminal is given one

    return EngineFolder.default().url


def _running_embedded() -> Endpoint | None:
    from .own import embedded  # only where there is no other engine

    return embedded.running()


def probe(endpoint: Endpoint, timeout: float = HELLO_SECONDS) -> Engine:
    """Ask an engine what it is.

    Args:
        endpoint: where it is.
        timeout: seconds that it may take to answer.

    Raises:
        EngineUnreachable: it does not answer, it is too old, or it runs Windows containers.
    """
    client = _connect(endpoint, timeout)
    try:
        version, info = client.version(), client.info()
    except (DockerException, RequestException, OSError) as error:
        raise _unreachable(endpoint, error) from error
    finally:
        client.close()
    engine = describe_answers(endpoint, version, info)
    refuse_unusable(engine, info.get("OSType", "linux"))
    return engine


def describe_answers(endpoint: Endpoint, version: dict[str, Any], info: dict[str, Any]) -> Engine:
    """The engine that gives these answers to `/version` and `/info`."""
    components = " ".join(part.get("Name", "") for part in version.get("Components") or [])
    options = " ".join(info.get("SecurityOptions") or [])
    return Engine(
        url=endpoint.url,
        source=endpoint.source,
        kind="podman" if "podman" in components.lower() else "docker",
        id=info.get("ID") or endpoint.url,
        version=(version.get("Version") or "unknown").split("+")[0],
        api_version=version.get("ApiVersion") or "1.24",
        os=info.get("OperatingSystem") or info.get("OSType") or "unknown",
        arch=version.get("Arch") or info.get("Architecture") or "unknown",
        storage=info.get("Driver") or "unknown",
        cgroup=str(info.get("CgroupVersion") or "1"),
        rootless="rootless" in options,
        cert_path=endpoint.cert_path,
        tls_verify=endpoint.tls_verify,
    )


def refuse_unusable(engine: Engine, os_type: str = "linux") -> None:
    """Raise EngineUnreachable for an engine that answers, and that the lessons cannot run on."""
    if os_type != "linux":
        raise EngineUnreachable(
            f"The engine at {engine.url} runs {os_type} containers; the lessons need Linux containers.",
            "Choose “Switch to Linux containers” in Docker Desktop's menu.",
        )
    if tuple(int(part) for part in engine.api_version.split(".")[:2]) < versions.OLDEST_API:
        api = ".".join(map(str, versions.OLDEST_API))
        raise EngineUnreachable(
            f"The engine at {engine.url} is too old: version {engine.version}, API {engine.api_version}.",
            f"Update it to {versions.OLDEST_ENGINE[engine.kind]} or later (API {api}).",
        )


_ids: weakref.WeakKeyDictionary[docker.APIClient, str] = weakref.WeakKeyDictionary()


def id_of(client: docker.DockerClient) -> str:
    """The id of a client's engine, or its address where it has none. `/info` is slow, so each client sends it once."""
    if client.api not in _ids:
        _ids[client.api] = client.api.info().get("ID") or client.api.base_url
    return _ids[client.api]


def _connect(endpoint: Endpoint, timeout: float) -> docker.DockerClient:
    tls: TLSConfig | bool = False
    try:
        if folder := endpoint.cert_path:
            if not folder.is_dir():
                raise ValueError(f"there is no folder {folder} with certificates for it")
            pair = (str(folder / "cert.pem"), str(folder / "key.pem")) if (folder / "cert.pem").exists() else None
            authority = str(folder / "ca.pem") if (folder / "ca.pem").exists() else None
            tls = TLSConfig(client_cert=pair, ca_cert=authority, verify=endpoint.tls_verify)
        client = docker.DockerClient(
            base_url=endpoint.url,
            version="auto",
            timeout=min(timeout, HELLO_SECONDS),  # type: ignore[arg-type]  # fractions of a second are fine
            tls=tls,
            use_ssh_client=endpoint.url.startswith("ssh://"),
        )
        client.api.timeout = timeout  # type: ignore[assignment]  # as above
        return client
    except (DockerException, RequestException, OSError, ValueError) as error:
        raise _unreachable(endpoint, error) from error


def _unreachable(endpoint: Endpoint, error: Exception) -> EngineUnreachable:
    what = _what_is_wrong(error)
    named_by = {"DOCKER_HOST": "which the variable DOCKER_HOST names", "embedded": "which the lab started"}.get(
        endpoint.source, f"from the {endpoint.source}"
    )
    if endpoint.source == "DOCKER_HOST":
        do = "Start that engine, or unset DOCKER_HOST to use another one."
    elif endpoint.source.startswith("context "):
        do = "Start that engine, or choose another one: `docker context ls`, then `docker context use NAME`."
    elif endpoint.source == "embedded":
        do = "Restart it: `dockerlab engine stop`, then `dockerlab engine start`."
    else:
        do = systems.how_to_start()
    return EngineUnreachable(f"The engine at {endpoint.url}, {named_by}, {what}.", do)


def _what_is_wrong(error: BaseException) -> str:
    """What the SDK's and urllib3's wrapping hides: ``does not answer (Connection refused)``."""
    chain = [error]
    while True:
        inner = [part for part in getattr(chain[-1], "args", ()) if isinstance(part, BaseException)]
        following = inner[-1] if inner else chain[-1].__cause__ or chain[-1].__context__
        if following is None or following in chain:
            break
        chain.append(following)
    if refusal := next((each for each in chain if isinstance(each, APIError)), None):
        return f"answers with an error ({refusal.explanation or refusal})"
    if any(isinstance(each, KeyError | TypeError | JSONDecodeError) for each in chain):
        return "answers, but not as an engine does"
    if any(isinstance(each, OSError) for each in chain):
        return f"does not answer ({getattr(chain[-1], 'strerror', None) or _first_line(chain[-1])})"
    return f"cannot be asked ({_first_line(error)})"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
