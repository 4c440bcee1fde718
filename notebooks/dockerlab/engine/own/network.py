"""What an engine changes in the machine's network, and how it is changed back when the engine is removed.

A Docker daemon makes the bridge `docker0`, writes chains and rules for iptables, lets the machine forward packets, and
drops what others forward. All of that stays when the daemon stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from .. import apt

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_BRIDGES = r"docker0|docker_gwbridge|br-[0-9a-f]{12}"
"""The bridges of a Docker daemon: the default one, that of Swarm mode, and those named after a network's id."""

_RULES = re.compile(rf"\bDOCKER|\b({_BRIDGES})\b")
"""The rules of a Docker daemon: in or to its chains, or about its bridges."""

_GET_FLAGS, _SET_FLAGS, _DELETE_BRIDGE, _UP = 0x8913, 0x8914, 0x89A1, 0x1
"""Requests to the kernel, and the flag of an interface that is up (linux/sockios.h, linux/if.h)."""


@dataclass(frozen=True)
class NetworkState:
    """The network as it was before the embedded engine was first started in it.

    Attributes:
        namespace: which network that was.
        bridge: whether there was a bridge `docker0`: another engine's.
        forwarding: the kernel's setting `ip_forward`: "0" or "1".
        policies: the policy of the chain FORWARD, for `iptables` and `ip6tables`.
    """

    namespace: str
    bridge: bool
    forwarding: str
    policies: dict[str, str]


def namespace(pid: int | str = "self") -> str:
    """The network namespace of a process; two engines in the same one would share the bridge."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115
    except OSError:
        return ""


def remember(file: Path) -> None:
    """Write down the network as it is, unless this was done before in the same network."""
    known = _read(file)
    if known and known.namespace == namespace():
        return
    policies = {}
    for program in ("iptables", "ip6tables"):
        for rule in _rules(program, "filter"):
            if match := re.fullmatch(r"-P FORWARD (\w+)", rule):
                policies[program] = match[1]
    # Not from /sys, which keeps showing the network that it was mounted in.
    bridge = "docker0" in {name for _, name in socket.if_nameindex()}
    before = NetworkState(namespace(), bridge, _FORWARDING.read_text().strip(), policies)
    file.write_text(json.dumps(asdict(before)))


def restore(file: Path) -> None:
    """Change back what the engine changed, where it was the only one in this network."""
    before = _read(file)
    if not before or before.bridge or before.namespace != namespace():
        return
    for program, policy in before.policies.items():
        for table in ("filter", "nat"):
            rules = _rules(program, table)
            for rule in rules:
                if rule.startswith("-A ") and _RULES.search(rule):
                    _iptables(program, table, "-D", *rule.split()[1:])
            for chain in (rule.split()[1] for rule in rules if rule.startswith("-N DOCKER")):
                _iptables(program, table, "-F", chain)
            for chain in (rule.split()[1] for rule in rules if rule.startswith("-N DOCKER")):
                _iptables(program, table, "-X", chain)
        _iptables(program, "filter", "-P", "FORWARD", policy)
    with contextlib.suppress(OSError):
        _FORWARDING.write_text(before.forwarding)
    for _, name in socket.if_nameindex():
        if re.fullmatch(_BRIDGES, name):
            _delete_bridge(name)


def uplink_mtu() -> int:
    """The largest packet, in bytes, that the machine's default route takes; 1500 where there is no such route."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        for line in Path("/proc/net/route").read_text().splitlines()[1:]:
            interface, destination, *_ = line.split()
            if destination == "00000000":
                return psutil.net_if_stats()[interface].mtu
    return 1500


def _read(file: Path) -> NetworkState | None:
    try:
        return NetworkState(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _rules(program: str, table: str) -> list[str]:
    return _iptables(program, table, "-S").splitlines()


def _iptables(program: str, table: str, *arguments: str) -> str:
    if not (path := apt.program(program)):
        return ""
    command = [path, "--wait", "10", "--table", table, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _delete_bridge(bridge: str) -> None:
    """Take a bridge down and delete it; `ip` need not be installed for that."""
    import fcntl  # on Unix only, and the package can be imported elsewhere

    name = bridge.encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control, contextlib.suppress(OSError):
        answer = fcntl.ioctl(control, _GET_FLAGS, struct.pack("16sH14x", name, 0))
        flags = struct.unpack("16sH14x", answer)[1]
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH14x", name, flags & ~_UP))
        fcntl.ioctl(control, _DELETE_BRIDGE, struct.pack("16s", name))
