"""Network namespaces, for what must not see the machine's network."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

CLONE_NEWNET = 0x40000000  # sched.h; Python has it from 3.12 on


def can_be_made() -> bool:
    """Whether this user can make one whose loopback is up: root on Linux, unless a container forbids it."""
    try:
        return not subprocess.run(["unshare", "--net", "ip", "link", "set", "lo", "up"], capture_output=True).returncode
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def network_namespace(*, loopback: bool) -> Iterator[int]:
    """Make a namespace with no network, and give the id of a process in it: `nsenter --target ID --net` leads there.

    Args:
        loopback: whether its loopback interface is up.
    """
    made = f"{'ip link set lo up && ' * loopback}echo made && exec sleep 7200"
    command = ["unshare", "--net", "sh", "-c", made]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "made\n", "no network namespace could be made"
            yield holder.pid
        finally:
            holder.terminate()


def inside(holder: int, *command: str) -> list[str]:
    """The command that runs a command in such a namespace."""
    return ["nsenter", "--target", str(holder), "--net", *command]


@contextlib.contextmanager
def reached_from(holder: int, port: int) -> Iterator[None]:
    """Let what is in such a namespace reach a port of this machine's loopback, at the same address as here."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", port), _Connection, bind_and_activate=False) as relay:
        relay.socket.close()
        relay.socket = _listening_in(holder, port)
        relay.daemon_threads = True
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        yield
        relay.shutdown()


def _listening_in(holder: int, port: int) -> socket.socket:
    """A socket that listens in that namespace, and can be used in this one."""

    def there() -> socket.socket:
        network = os.open(f"/proc/{holder}/ns/net", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(network, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        finally:
            os.close(network)
        return socket.create_server(("127.0.0.1", port), backlog=128)

    with ThreadPoolExecutor(1) as pool:  # one thread enters, makes the socket, and ends; all others stay where they are
        return pool.submit(there).result()


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with socket.create_connection(self.server.server_address) as here:
            forth = threading.Thread(target=_copy, args=(self.request, here), daemon=True)
            forth.start()
            _copy(here, self.request)
            forth.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
