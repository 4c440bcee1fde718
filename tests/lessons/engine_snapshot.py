"""What an engine holds, to compare what it held before with what it holds afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import docker
from dockerlab.lab import build_cache


@dataclass(frozen=True)
class Snapshot:
    """Everything an engine holds, by id, and what the builder says of it: equal before and after a lesson."""

    containers: frozenset[str]
    images: frozenset[str]
    networks: frozenset[str]
    volumes: frozenset[str]
    build_cache: frozenset[str]

    def difference(self, other: Snapshot) -> list[str]:
        """What one holds and the other does not, one line each; empty where the two are equal."""
        lines = []
        for kind in self.__dataclass_fields__:
            before, after = getattr(self, kind), getattr(other, kind)
            lines += [f"{kind}: {item} is gone" for item in sorted(before - after)]
            lines += [f"{kind}: {item} is new" for item in sorted(after - before)]
        return lines


def snapshot(client: docker.DockerClient) -> Snapshot:
    """What the engine holds now. Images are told with their tags, so that a tag left behind shows, too."""
    images = set()
    for image in client.api.images():
        images |= {f"{image['Id']} {tag}" for tag in image.get("RepoTags") or ["<none>"]}
    return Snapshot(
        containers=frozenset(item["Id"] for item in client.api.containers(all=True)),
        images=frozenset(images),
        networks=frozenset(item["Id"] for item in client.api.networks()),
        volumes=frozenset(item["Name"] for item in client.api.volumes()["Volumes"] or []),
        build_cache=frozenset(f"{id_} {what}" for id_, what in build_cache.descriptions(client).items()),
    )
