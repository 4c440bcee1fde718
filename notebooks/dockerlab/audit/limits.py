"""What an audited project may take of the machine: time, disk, memory, processors and processes.

Containers are started with limits of memory, processors and processes, which the engine enforces. A build has none:
BuildKit takes no limits by the engine's API. So the time and the disk are watched from here, and the build is cancelled
where either runs out. Where this process may write the kernel's control groups (root on the engine's machine), each
step of a build that runs meanwhile may have `BUILD_PROCESSES` processes at most.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..engine import Engine
from ..run.container import PIDS_LIMIT

MEMORY_BYTES = 512 * 2**20
"""What a container may use; lessons use the same."""

CPUS = 1
"""Processors. Python's interpreter uses one; a miner, or a loop without end, takes all that there are."""

_CPU_PERIOD = 100_000  # microseconds, the engine's default

CONTAINER_SETTINGS: dict[str, Any] = {
    "mem_limit": MEMORY_BYTES,
    "memswap_limit": MEMORY_BYTES,
    "pids_limit": PIDS_LIMIT,
    # Not `nano_cpus`, which an engine that cannot limit them refuses; these it leaves out.
    "cpu_period": _CPU_PERIOD,
    "cpu_quota": CPUS * _CPU_PERIOD,
    "security_opt": ["no-new-privileges"],
}
"""What holds a container, in the docker SDK's words."""

BUILD_PROCESSES = 2048
"""Processes and threads of one step of a build. A compiler on many cores uses some hundreds."""

KEPT_FREE_BYTES = 2 * 10**9
"""What must stay free on the disk of the engine's data, where that is a disk of this machine."""

GROWTH_BYTES = 20 * 10**9
"""How much more of that disk may be used than when the audit began."""

_GROUPS = Path("/sys/fs/cgroup")
_POLL_SECONDS = 0.05


def container_limits(info: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What limits a container of the audit, and what does not: an engine leaves out what its machine cannot hold.

    Args:
        info: the engine's description of itself, as `docker info` shows it.
    """
    held = {
        f"{MEMORY_BYTES // 2**20} MB of memory": info.get("MemoryLimit", True),
        f"{CPUS} processor": info.get("CpuCfsQuota", True),
        f"{PIDS_LIMIT} processes": info.get("PidsLimit", True),
    }
    limited = [limit for limit, is_held in held.items() if is_held]
    free = [limit.split(" ", 1)[1].removeprefix("MB of ") for limit, is_held in held.items() if not is_held]
    return (*limited, "no new privileges", "no mounts"), ("the network, of the build and of the containers", *free)


class Limits:
    """The limits of one audit. `reached` tells which one is reached.

    Args:
        engine: the engine.
        data: the folder of the engine's data, on the engine's machine.
        seconds: how long the audit may take.
    """

    def __init__(self, engine: Engine, data: str, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.seconds = seconds
        self.cancelled = threading.Event()
        is_local = engine.url.startswith("unix://") and Path(data).is_dir()
        self._data = data if is_local else ""
        self._free_at_first = self._free()

    @property
    def left(self) -> float:
        """Seconds until the audit must have ended; at least 0.1."""
        return max(0.1, self.deadline - time.monotonic())

    def reached(self) -> str:
        """Which limit is reached, in a sentence; empty where none is."""
        if self.cancelled.is_set():
            return "The audit was cancelled."
        if time.monotonic() > self.deadline:
            return f"The audit did not finish within {self.seconds:g} s."
        free = self._free()
        if free is not None and self._free_at_first is not None:
            if free < min(KEPT_FREE_BYTES, self._free_at_first / 2):
                return f"The disk of the engine has {free / 1e9:.1f} GB left, and the project goes on writing."
            if self._free_at_first - free > GROWTH_BYTES:
                return f"More than {GROWTH_BYTES / 1e9:.0f} GB were written to the engine's disk since the audit began."
        return ""

    def _free(self) -> int | None:
        with contextlib.suppress(OSError):
            return shutil.disk_usage(self._data).free if self._data else None
        return None

    @contextlib.contextmanager
    def on_builds(self) -> Iterator[None]:
        """Hold the steps of builds to `BUILD_PROCESSES` while the block lasts."""
        ended = threading.Event()
        thread = threading.Thread(target=self._hold, args=(ended,), daemon=True, name="build limits")
        if self._data and os.access(_GROUPS, os.W_OK):
            thread.start()
        try:
            yield
        finally:
            ended.set()

    def _hold(self, ended: threading.Event) -> None:
        held: set[Path] = set()
        while not ended.is_set():
            for group in _build_groups():
                if group not in held:
                    held.add(group)
                    with contextlib.suppress(OSError):  # it has ended, or there is no such controller
                        if (limit := group / "pids.max").read_text().strip() == "max":
                            limit.write_text(str(BUILD_PROCESSES))
            ended.wait(_POLL_SECONDS)


def _build_groups() -> Iterator[Path]:
    """The control groups of the steps that BuildKit runs now (cgroup v1 and v2; with and without systemd)."""
    for root in (_GROUPS / "pids", _GROUPS):
        for pattern in ("*/buildkit/*", "system.slice/*buildkit*", "system.slice/*/buildkit*/*"):
            with contextlib.suppress(OSError):
                yield from root.glob(pattern)
