"""An embedded engine beside the machine's own, to be killed, filled and slowed down.

Two daemons in one network would share the bridge `docker0`, and the one that the other tests run on is in the machine's
own network. So such an engine gets a network of its own (`unshare --net`), and a cache folder of its own, into which
the packages are linked that the machine's cache has: nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import network_namespace
import psutil
from dockerlab import folders
from dockerlab.engine.base import bootstrap, bundle
from dockerlab.engine.own import embedded

FETCHED = embedded.EngineFolder.default().packages

START = "import sys; from dockerlab.engine.own import embedded; embedded.start()"


class Machine:
    """A network and a cache folder of its own, and commands that run in both."""

    def __init__(self, folder: Path, holder: int) -> None:
        self.cache = folder / "cache"
        self.holder = holder
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER")}
        self.environ |= {"DOCKERLAB_CACHE": str(self.cache), "DOCKER_CONFIG": str(folder / "config")}
        self.engine = embedded.EngineFolder(self.cache / "engine")

    def run(self, *command: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        command = network_namespace.inside(self.holder, *command)
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False, timeout=timeout)

    def link_packages(self) -> None:
        """Give the cache folder the packages: linked where the file system is the same, for they are only read."""
        for folder in (self.cache, self.engine.home):
            folders.make(folder)
        for how in (["-al"], ["-a"]):
            command = ["cp", *how, "--no-target-directory", FETCHED, self.engine.packages]
            if subprocess.run(command, check=False, capture_output=True).returncode == 0:
                return
        raise AssertionError(f"{FETCHED} could not be copied")

    def start(self) -> None:
        result = self.run(sys.executable, "-c", START)
        assert result.returncode == 0, result.stderr

    def dockerlab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "dockerlab.cli", *arguments)

    def kill(self) -> None:
        daemon = embedded._daemon(self.engine)
        daemon.kill()
        psutil.wait_procs([daemon], timeout=10)

    def processes(self) -> list[psutil.Process]:
        """The daemon, its containerd, and the shims."""
        daemon = embedded._daemon(self.engine)
        return [daemon] * bool(daemon) + embedded._orphans(self.engine)

    def mounts(self) -> list[str]:
        points = [part.mountpoint for part in psutil.disk_partitions(all=True)]
        return [point for point in points if Path(point).is_relative_to(self.cache)]

    def network(self) -> list[str]:
        """All that a Docker daemon leaves in a network: its bridges, its chains and rules, forwarding."""
        lines = self.run("cat", "/proc/net/dev", "/proc/sys/net/ipv4/ip_forward").stdout.splitlines()
        names = [line.split(":")[0].strip() for line in lines]
        rules = [
            line for table in ("filter", "nat") for line in self.run("iptables", "-t", table, "-S").stdout.splitlines()
        ]
        return names + rules

    @contextlib.contextmanager
    def client(self):
        client = docker.DockerClient(base_url=f"unix://{self.engine.socket}", version="auto", timeout=60)
        with contextlib.closing(client):
            yield client

    def load_base(self, tag: str) -> bool:
        """Give the engine the base image of the machine's cache, where it has none yet; whether there is one."""
        with self.client() as client:
            if client.api.images(name=tag.partition(":")[0]):
                return True
            archive = max((folders.cache() / "base").glob("*.tar.zst"), default=None)
            if archive:
                bootstrap._import(client, tag, bundle.unpacked(archive), ())
            return archive is not None


@contextlib.contextmanager
def machine(folder: Path, *, loopback: bool = False) -> Iterator[Machine]:
    """Such a machine; its engine is not started yet, and removed at the end.

    Args:
        folder: where its cache goes.
        loopback: whether its network has a loopback interface that is up.
    """
    with network_namespace.network_namespace(loopback=loopback) as holder:
        machine = Machine(folder, holder)
        machine.link_packages()
        try:
            yield machine
        finally:  # after Ctrl-C, too
            machine.dockerlab("engine", "remove")
        assert machine.processes() == []
