"""Where an engine may be: the variables, contexts and sockets that the docker CLI knows, in its own order.

Nothing here talks to an engine. The names and places are those of the docker CLI's documentation ("Docker contexts",
"Use the Docker command line: environment variables") and of the products that bring a socket of their own.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import EngineUnreachable


@dataclass(frozen=True)
class Endpoint:
    """Where an engine is said to be.

    Attributes:
        url: ``unix:///var/run/docker.sock``, ``tcp://host:2376``, ``ssh://user@host``, ``npipe:////./pipe/docker_engine``.
        source: who says so: ``DOCKER_HOST``, ``context NAME``, ``default socket``, ``embedded``.
        cert_path: the folder with `ca.pem`, `cert.pem` and `key.pem`, where the connection is TLS.
        tls_verify: whether the engine's certificate is checked.
    """

    url: str
    source: str
    cert_path: Path | None = None
    tls_verify: bool = False


def docker_config(environ: Mapping[str, str], home: Path) -> Path:
    """The folder of the docker CLI's configuration: `DOCKER_CONFIG`, else `~/.docker`."""
    return Path(environ.get("DOCKER_CONFIG") or home / ".docker")


def named(environ: Mapping[str, str], home: Path) -> Endpoint | None:
    """The engine that the user named, or None: `DOCKER_HOST`, else `DOCKER_CONTEXT`, else the current context.

    Raises:
        EngineUnreachable: the context does not exist, or cannot be read. (The SDK would take the default socket.)
    """
    config = docker_config(environ, home)
    if url := environ.get("DOCKER_HOST"):
        cert_path = None
        verify = bool(environ.get("DOCKER_TLS_VERIFY"))
        if url.startswith("tcp://") and (verify or environ.get("DOCKER_CERT_PATH")):
            cert_path = Path(environ.get("DOCKER_CERT_PATH") or config)
        return Endpoint(url if "://" in url else f"tcp://{url}", "DOCKER_HOST", cert_path, verify)
    if name := environ.get("DOCKER_CONTEXT"):
        named_by = "the variable DOCKER_CONTEXT"
    else:
        name, named_by = _current_context(config), str(config / "config.json")
    if not name or name == "default":
        return None
    return _context(config, name, named_by)


def _current_context(config: Path) -> str:
    try:
        return str(json.loads((config / "config.json").read_text())["currentContext"])
    except (OSError, KeyError, TypeError, ValueError):
        return ""


def _context(config: Path, name: str, named_by: str) -> Endpoint:
    """A context as the CLI stores it: in a folder named after the SHA-256 of its name.

    The SDK's own `ContextAPI` finds none beside a missing `config.json`, and leaves out an authority without a client's
    certificate.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts" / "meta" / digest / "meta.json"
    try:
        endpoint = json.loads(meta.read_text())["Endpoints"]["docker"]
        url = endpoint["Host"]
    except FileNotFoundError:
        raise EngineUnreachable(
            f"The Docker context {name!r}, named by {named_by}, does not exist.",
            "See the contexts there are with `docker context ls`, and choose one with `docker context use NAME`.",
        ) from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise EngineUnreachable(
            f"The Docker context {name!r} in {meta} cannot be read ({type(error).__name__}).",
            f"Make it again: `docker context rm {name}`, then `docker context create`.",
        ) from None
    certificates = config / "contexts" / "tls" / digest / "docker"
    has_tls = certificates.is_dir()
    return Endpoint(
        url,
        f"context {name}",
        certificates if has_tls else None,
        has_tls and not endpoint.get("SkipTLSVerify", False),
    )


def default_sockets(system: str, environ: Mapping[str, str], home: Path) -> list[Endpoint]:
    """The sockets that an engine opens by default, in the order in which they are tried.

    Args:
        system: as `platform.system` says it: ``Linux``, ``Darwin``, ``Windows``.
    """
    if system == "Windows":
        urls = ["npipe:////./pipe/docker_engine", "npipe:////./pipe/dockerDesktopLinuxEngine"]
    else:
        sockets = [
            Path("/var/run/docker.sock"),  # the engine's own default, and a link of Docker Desktop
            home / ".docker/run/docker.sock",  # Docker Desktop on macOS
            home / ".docker/desktop/docker.sock",  # Docker Desktop on Linux
            home / ".colima/default/docker.sock",
        ]
        if runtime := environ.get("XDG_RUNTIME_DIR"):
            sockets.insert(1, Path(runtime) / "docker.sock")  # rootless
        urls = [f"unix://{path}" for path in sockets]
    return [Endpoint(url, "default socket") for url in urls]


def knock(url: str, timeout: float = 2.0) -> str:
    """Whether something listens on a local socket: ``listening``, ``absent``, ``refused`` or ``denied``.

    A socket that cannot be judged from here (tcp, ssh, a named pipe) counts as listening: the client will find out.
    """
    if not url.startswith("unix://"):
        return "listening"
    path = url.removeprefix("unix://")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(timeout)
        try:
            probe.connect(path)
        except PermissionError:
            return "denied"
        except (FileNotFoundError, NotADirectoryError):
            return "absent"
        except OSError:
            return "refused"
    return "listening"
