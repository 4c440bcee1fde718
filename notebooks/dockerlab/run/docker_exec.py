"""Look into a running container, with nothing installed in it: its processes, its memory, and where it listens."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from docker.api import APIClient
from docker.errors import APIError, DockerException
from docker.models.containers import Container

from ..records import Process, Resident
from ..wait import until
from .traffic import KEPT_BYTES

DOCKERS_DNS = "127.0.0.11"
"""The address at which Docker's own name server listens inside each container on a user-defined network."""

LISTEN = "0A"
"""The kernel's code for a socket that accepts connections (include/net/tcp_states.h)."""

SECONDS = 5
"""How long `run` and `answers` wait."""

FILE_BYTES = 16_000_000
"""What is read of a file of the kernel's: 100,000 connections, in its list of them."""


@dataclass(frozen=True)
class Ran:
    """A command that was run in a container.

    Attributes:
        exit_code: None where it did not end in time, or printed more than is read.
        output: what it printed to stdout and stderr, as far as it was read.
        is_left: whether it, or what it started, may still be running in the container.
        id: the engine's id of it.
    """

    exit_code: int | None
    output: bytes
    is_left: bool
    id: str

    @property
    def text(self) -> str:
        return self.output.decode(errors="replace")


@dataclass(frozen=True)
class Socket:
    """Where a process of a container accepts connections: address (``0.0.0.0``, ``127.0.0.1``, ``::``) and port."""

    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def shown(sockets: Iterable[Socket]) -> str:
    return ", ".join(sorted({str(socket) for socket in sockets}))


def run(container: Container, command: Sequence[str], seconds: float = SECONDS, *, most_bytes: int = KEPT_BYTES) -> Ran:
    """Run a command in a running container, as `docker exec` does, and read a limited part of what it prints.

    The engine cannot end such a command: one that does not end by itself runs until its container is stopped.

    Args:
        container: where it runs.
        command: the program and its arguments.
        seconds: how long it may take.
        most_bytes: how much is read.

    Raises:
        APIError: it could not be started; some engines answer this where the program is missing.
    """
    api = _api(container)
    deadline = time.monotonic() + seconds
    id_ = api.exec_create(container.id, list(command))["Id"]
    stream = api.exec_start(id_, stream=True)
    output = bytearray()

    def read() -> None:
        for chunk in stream:
            output.extend(chunk[: most_bytes + 1 - len(output)])
            if len(output) > most_bytes:
                return

    thread = threading.Thread(target=read, daemon=True, name="exec")
    thread.start()
    thread.join(seconds)
    is_too_much = len(output) > most_bytes
    is_open = is_too_much or thread.is_alive()
    # Before the exit code is read: an engine that waits for somebody to read the output does not answer.
    with contextlib.suppress(OSError, DockerException):  # over SSH it cannot be closed: it ends with the container
        stream.close()
    if not is_open:  # it has closed its output, and may run on
        until(lambda: not still_runs(container, id_), deadline - time.monotonic())
    state = api.exec_inspect(id_)
    exit_code = None if state["Running"] or is_too_much else state["ExitCode"]
    return Ran(exit_code, bytes(output[:most_bytes]), is_open or state["Running"], id_)


def still_runs(container: Container, id_: str) -> bool:
    """Whether a command that `run` has started still runs."""
    return bool(_api(container).exec_inspect(id_)["Running"])


def _api(container: Container) -> APIClient:
    assert container.client, "a container that an engine's client has returned"
    return container.client.api


def processes(container: Container) -> tuple[Process, ...]:
    """The container's processes, the main one first; empty where the engine's machine has no `ps`."""
    with contextlib.suppress(APIError, ValueError, KeyError):
        container.reload()
        main = container.attrs["State"]["Pid"]
        rows = container.top(ps_args="-eo pid,ppid,uid,args")["Processes"] or []  # a container that ends has none
        found = [Process(int(pid), int(parent), int(uid), command) for pid, parent, uid, command in rows]
        return tuple(sorted(found, key=lambda process: (process.pid != main, process.pid)))
    return ()


_RESIDENT = r"""
from pathlib import Path

for status in Path("/proc").glob("[0-9]*/status"):
    told = dict(line.split(":", 1) for line in status.read_text().splitlines())
    # Those without a parent here, but for the main process, were put here by `docker exec`.
    if told["Pid"].strip() == "1" or told["PPid"].strip() != "0":
        command = (status.parent / "cmdline").read_text().replace("\0", " ")
        print(told["Pid"].strip(), told["VmRSS"].split()[0], command)
"""


def resident(container: Container) -> tuple[Resident, ...]:
    """What each process of a container with Python holds in memory: the main one first, then by their roles.

    Roles are those of Uvicorn with ``--workers``: Python starts each worker (``spawn_main``), and a helper that knows
    what to remove when all have ended (``resource_tracker``).
    """
    lines = [line.split(maxsplit=2) for line in run(container, ["python3", "-c", _RESIDENT]).text.splitlines()]
    found = []
    for pid, kilobytes, command in lines:
        if pid == "1":
            role = "parent" if len(lines) > 1 else "server"
        else:
            role = "worker" if "spawn_main" in command else "helper"
        found.append(Resident(role, 1024 * int(kilobytes)))
    order = ["server", "parent", "helper", "worker"]
    return tuple(sorted(found, key=lambda one: order.index(one.role)))


def memory_bytes(container: Container) -> int | None:
    """What the container uses, without the page cache, as `docker stats` counts it; None where that is not known."""
    with contextlib.suppress(APIError, KeyError, ValueError):
        stats = container.stats(stream=False)
        assert isinstance(stats, dict)
        memory = stats["memory_stats"]
        cache = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
        return int(memory["usage"] - cache)
    return None


def command_line(container: Container) -> str:
    """The command line of the container's main process: ``/bin/sh -c fastapi run app/main.py``.

    Raises:
        LookupError: neither the engine nor any program in the image can read it.
    """
    # `docker top` runs `ps` on the engine's machine: ten times as fast as starting a program in the container.
    container.reload()
    with contextlib.suppress(APIError):  # that machine, or Podman's container, may have no `ps`
        for pid, command in container.top(ps_args="-eo pid,args")["Processes"] or []:
            if int(pid) == container.attrs["State"]["Pid"]:
                return command
    if (text := _read(container, "/proc/1/cmdline")) is None:
        raise LookupError(f"nothing can tell the main process of {container.name}")
    return " ".join(text.rstrip("\0").split("\0"))


def listening(container: Container) -> list[Socket] | None:
    """Where the container's processes accept connections; None where no program in the image can read a file."""
    tables = [_read(container, "/proc/net/tcp"), _read(container, "/proc/net/tcp6")]
    if tables[0] is None:
        return None
    # The first line of each table is its heading. Without IPv6, the second table is missing.
    found = [parse_socket(line) for table in tables if table for line in table.splitlines()[1:]]
    return [socket for socket in found if socket and socket.address != DOCKERS_DNS]


def answers(container: Container, port: int, path: str) -> bool:
    """Whether an HTTP request sent from inside the container is answered, with any status.

    Args:
        container: it runs.
        port: the port inside the container.
        path: of the request.

    Returns:
        False, too, where the image has no Python to send it with.
    """
    program = "import http.client as http; "
    program += f"link = http.HTTPConnection('127.0.0.1', {port}, timeout={SECONDS}); "
    program += f"link.request('GET', {path!r}); link.getresponse()"
    try:
        return run(container, ["python3", "-c", program], 3 * SECONDS).exit_code == 0
    except APIError:  # the program is missing, on some engines
        return False


def parse_socket(line: str) -> Socket | None:
    """Read one line of ``/proc/net/tcp`` or ``tcp6`` (format: the kernel's proc_net_tcp.txt).

    None where it does not describe a socket that accepts connections.
    """
    try:
        _, local, _, state, *_ = line.split()
        address, port = local.split(":")
        return Socket(_address(address), int(port, 16)) if state == LISTEN else None
    except ValueError:  # the image's own `cat` may print anything
        return None


def _address(digits: str) -> str:
    """An address as the kernel writes it: words of 32 bits, each in the byte order of the machine."""
    raw = bytes.fromhex(digits)
    words = [raw[start : start + 4] for start in range(0, len(raw), 4)]
    address = ipaddress.ip_address(b"".join(word[::-1] for word in words))
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(address)


def _read(container: Container, path: str) -> str | None:
    """A file of the container, read by whatever the image has: `cat`, or Python."""
    for command in (["cat", path], ["python3", "-c", f"print(open({path!r}).read(), end='')"]):
        try:
            done = run(container, command, most_bytes=FILE_BYTES)
        except APIError:  # the program is missing, on some engines
            continue
        if done.exit_code == 0:
            return done.text
    return None
