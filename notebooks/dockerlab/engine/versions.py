"""Each version that the lab pins of an engine and its base image, in one place."""

BASE_IMAGE = "python:3.13.9-slim"
"""The official image that the lessons are written for."""

OLDEST_API = (1, 41)
OLDEST_ENGINE = {"docker": "Docker Engine 20.10", "podman": "Podman 4.0"}
"""The oldest engines that the lessons were measured on, and their API (engine API version history)."""

DEBIAN = {12: "bookworm", 13: "trixie"}
"""The releases of Debian that the embedded engine runs on. All of them get the packages of the newest."""

OLDEST_SYSTEM = {"debian": min(DEBIAN), "ubuntu": 22.04}
"""Debian 13's engine needs libc 2.34 or later, which Debian 12 and Ubuntu 22.04 have (its packages' `Depends`)."""

ENGINE_PACKAGES = {
    # tini is what Debian's docker-init links to: without it `docker run --init` fails.
    "debian": ("docker.io", "containerd", "docker-cli", "docker-buildx", "docker-compose", "tini"),
    "ubuntu": ("docker.io", "containerd", "docker-buildx", "docker-compose-v2", "tini"),
}

HOST_PROGRAMS = {"iptables": "iptables", "runc": "runc"}
"""Programs that the engine needs from the machine, and their packages: these must fit the machine's own libc."""
