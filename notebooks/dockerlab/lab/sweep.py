"""Leave nothing behind: what the laboratory labelled can be found and removed, and nothing else is ever touched.

Objects are found by label. The build cache carries no labels: its records are in a ledger (`ledger`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, NotFound

from .. import labels
from . import ledger


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
        build_cache=frozenset(f"{id_} {what}" for id_, what in ledger.build_records(client).items()),
    )


# --- objects with our labels -----------------------------------------------------------------------------------------


_PATIENCE_SECONDS = 90
"""How long the engine may refuse to remove something: a container that is being killed takes up to ten, and one with
an engine in it, whose images go with it, took more than twenty on a busy machine."""


@dataclass(frozen=True)
class _Found:
    kind: str
    id: str
    name: str
    labels: dict[str, str]


def _find(client: docker.DockerClient) -> list[_Found]:
    """Everything on the engine that carries a lab's label and is ours, in an order in which it can be removed."""
    filters = {"label": labels.LAB}
    containers = client.api.containers(all=True, filters=filters)  # before the images: each one's image is there
    images = client.api.images(filters=filters)
    by_id = {image["Id"]: image for image in images}
    found = [
        _Found("container", item["Id"], (item["Names"] or ["?"])[0].lstrip("/"), item["Labels"])
        for item in containers
        if not _is_of_a_reader(item, by_id.get(item["ImageID"]))
    ]
    found += [_Found("network", i["Id"], i["Name"], i["Labels"]) for i in client.api.networks(filters=filters)]
    found += [_Found("volume", i["Name"], i["Name"], i["Labels"]) for i in client.api.volumes(filters)["Volumes"] or []]
    for item in images:
        lab = item["Labels"][labels.LAB]
        found += [_Found("image", name, name, item["Labels"]) for name in _names_of_ours(item, f"dockerlab/{lab}:")]
    return found


_NO_NAME = ("<none>:<none>", "<none>@<none>")
"""What engines before API 1.43 tell as the name of an image that has none."""


def _names_of_ours(image: Mapping[str, Any], prefix: str) -> list[str]:
    """The names under which an image with one of our labels is ours: its id, if it has no name at all.

    An image that the reader made from one of ours has inherited its labels. By its name we know that it is theirs.

    Args:
        prefix: how our own names begin, with the repository and the colon.
    """
    names = [name for name in image["RepoTags"] or [] if name not in _NO_NAME]
    if not names and all(name in _NO_NAME for name in image["RepoDigests"] or []):
        return [image["Id"]]
    return [name for name in names if name.startswith(prefix)]


def _is_of_a_reader(container: Mapping[str, Any], image: Mapping[str, Any] | None) -> bool:
    """Whether a container has one of our labels only because it was started from an image of the reader's.

    Args:
        image: the container's image, if that has one of our labels.
    """
    lab = container["Labels"][labels.LAB]
    if not image or image["Labels"][labels.LAB] != lab:
        return False
    ours = _names_of_ours(image, f"dockerlab/{lab}:")
    theirs = {*(image["RepoTags"] or [])} - {*ours}
    return not ours or container["Image"] in theirs or f"{container['Image']}:latest" in theirs


def _remove(client: docker.DockerClient, found: Iterable[_Found]) -> None:
    """Remove objects. Another lab may sweep the same ones at the same time: what is gone need not be removed, and what
    the engine refuses because somebody is at it already is asked for again.

    Raises:
        APIError: the engine still refuses after `_PATIENCE_SECONDS`.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    waiting = list(found)
    while waiting:
        refused = []
        for item in waiting:
            try:
                _remove_one(client.api, item)
            except NotFound:
                pass
            except APIError as error:
                # Forbidden: a network has endpoints. Conflict: a removal is in progress, or a container uses an image.
                if error.status_code not in (403, 409) or time.monotonic() > deadline:
                    raise
                refused.append(item)
        waiting = refused
        if waiting:
            time.sleep(0.1)


def _remove_one(api: docker.APIClient, item: _Found) -> None:
    match item.kind:
        case "container":
            api.remove_container(item.id, v=True, force=True)
        case "network":
            api.remove_network(item.id)
        case "volume":
            api.remove_volume(item.id, force=True)
        case "image":
            api.remove_image(item.id, force=True)


def _lab_of(item: _Found) -> str:
    return item.labels.get(labels.LAB, "")


def _is_dead(item: _Found) -> bool:
    owner = labels.Owner.parse(item.labels.get(labels.OWNER, ""))
    return owner is not None and owner.is_dead()


def remove_lab(client: docker.DockerClient, lab: str) -> list[str]:
    """Remove all that one lab made. Return what is still there: an empty list, unless the engine refused.

    The records of the build cache are shared by all labs on an engine. They go with the last lab.
    """
    # Twice, if need be: a build that is broken off may take an image's name while that image is removed by it.
    for _ in range(2):
        _remove(client, [item for item in _find(client) if _lab_of(item) == lab])
        left = _find(client)
        if not any(_lab_of(item) == lab for item in left):
            break
    if not left:
        ledger.prune(client, lambda: bool(_find(client)))
    return [f"{item.kind} {item.name}" for item in left if _lab_of(item) == lab]


def remove_containers(client: docker.DockerClient, lab: str) -> None:
    """Remove a lab's containers, and leave the rest of it: whoever waits for one of them waits no longer."""
    _remove(client, [item for item in _find(client) if item.kind == "container" and _lab_of(item) == lab])


def sweep(client: docker.DockerClient) -> list[str]:
    """Remove what labs left whose process is dead: a killed kernel, a crashed audit. Return what was removed."""
    found = _find(client)
    dead = [item for item in found if _is_dead(item)]
    _remove(client, dead)
    if dead == found:
        ledger.prune(client, lambda: bool(_find(client)))
    return [f"{item.kind} {item.name}" for item in dead]


def leftovers(client: docker.DockerClient) -> list[str]:
    """What dead labs left on the engine, a line each."""
    return [f"{item.kind} {item.name}" for item in _find(client) if _is_dead(item)]


def clean(client: docker.DockerClient) -> list[str]:
    """Remove all that the laboratory ever labelled on this engine, of living labs too, and its base images.

    Return what was removed, a line each.
    """
    found = _find(client)
    for image in client.api.images(filters={"label": f"{labels.BASE}=1"}):
        names = [name for name in image["RepoTags"] or [] if name.startswith(f"{labels.BASE_REPOSITORY}:")]
        found += [_Found("image", name, name, image["Labels"]) for name in names]
    _remove(client, found)
    ledger.prune(client, lambda: False)
    return list(dict.fromkeys(f"{item.kind} {item.name}" for item in found))
