"""Leave nothing behind: what the laboratory labeled can be found and removed, and nothing else is ever touched.

Objects are found by label. What Docker Compose makes for a lesson's commands has Compose's own labels: it is ours where
the project's name ends with a lab's id. The build cache carries no labels: its records are in the `ledger`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, NotFound

from .. import labels
from ..labels import OWNER, Owner
from ..wait import tries
from . import ledger

_LAB_ID = re.compile(r"[0-9a-f]{8}")

_PROJECT = "com.docker.compose.project"
"""Compose's own label for the name of the project, on all that it makes."""

_PATIENCE_SECONDS = 90
"""How long the engine may refuse to remove something: a container that is being killed takes up to ten, and one with
an engine in it, whose images go with it, took more than twenty on a busy machine."""


@dataclass(frozen=True)
class Labeled:
    """Something on the engine with one of our labels.

    Attributes:
        kind: ``container``, ``network``, ``volume`` or ``image``.
        id: what it is removed by; of an image, its name.
        name: what it is shown as.
        labels: all that it has.
    """

    kind: str
    id: str
    name: str
    labels: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def lab(self) -> str:
        """The id of the lab that made it; "" where no lab did."""
        return self.labels.get(labels.LAB, "")

    @property
    def owner(self) -> Owner | None:
        """The process that made it; None where its labels name none: it was made by a typed command."""
        return Owner.parse(self.labels.get(OWNER, ""))


def labeled(client: docker.DockerClient, lab: str = "") -> list[Labeled]:
    """Everything on the engine that carries a lab's label and is ours, in an order in which it can be removed.

    Args:
        lab: the id of a lab whose Compose projects count, even where nothing else of it is on the engine.
    """
    filters = {"label": labels.LAB}
    containers = client.api.containers(all=True, filters=filters)  # before the images: each one's image is there
    images = client.api.images(filters=filters)
    by_id = {image["Id"]: image for image in images}
    found = [
        Labeled("container", item["Id"], (item["Names"] or ["?"])[0].lstrip("/"), item["Labels"])
        for item in containers
        if not _is_of_a_reader(item, by_id.get(item["ImageID"]))
    ]
    found += [Labeled("network", i["Id"], i["Name"], i["Labels"]) for i in client.api.networks(filters=filters)]
    volumes = client.api.volumes(filters)["Volumes"] or []
    found += [Labeled("volume", item["Name"], item["Name"], item["Labels"]) for item in volumes]
    found += [_image(item, name) for item in images for name in _names_of_ours(item)]
    # What names a lab's owner, and so its id, goes last.
    return _of_projects(client, {lab, *(item.lab for item in found)}) + found


def _of_projects(client: docker.DockerClient, labs: set[str]) -> list[Labeled]:
    """What Compose made in projects of labs, with the lab's label added: ``shop-0123abcd`` is one of ``0123abcd``.

    Anyone may call a project so. Only the ids of labs of which something is on the engine count.
    """
    filters = {"label": _PROJECT}

    def ours(items: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], dict[str, str]]]:
        for item in items:
            lab = item["Labels"][_PROJECT].rpartition("-")[2]
            if _LAB_ID.fullmatch(lab) and lab in labs and labels.LAB not in item["Labels"]:
                yield item, {**item["Labels"], labels.LAB: lab}

    if not any(map(_LAB_ID.fullmatch, labs)):
        return []
    found = [
        Labeled("container", item["Id"], (item["Names"] or ["?"])[0].lstrip("/"), given)
        for item, given in ours(client.api.containers(all=True, filters=filters))
    ]
    networks, volumes = client.api.networks(filters=filters), client.api.volumes(filters)["Volumes"]
    found += [Labeled("network", item["Id"], item["Name"], given) for item, given in ours(networks)]
    found += [Labeled("volume", item["Name"], item["Name"], given) for item, given in ours(volumes or [])]
    images = [{**item, "Labels": given} for item, given in ours(client.api.images(filters=filters))]
    return found + [_image(item, name) for item in images for name in _names_of_ours(item)]


def dead(found: Iterable[Labeled]) -> list[Labeled]:
    """What dead labs left, of everything that carries a lab's label.

    What the laboratory made names its owner. What a lesson made by a typed command names its lab only: it lives as long
    as something else of that lab, and each lab has a volume that names its owner from its first moment to its last.
    """
    found = list(found)
    living = {item.lab for item in found if item.owner and not item.owner.is_dead()}
    return [
        item
        for item in found
        if (item.owner.is_dead() if item.owner else _LAB_ID.fullmatch(item.lab) and item.lab not in living)
    ]


def _image(image: Mapping[str, Any], name: str) -> Labeled:
    return Labeled("image", name, name, image["Labels"])


_NO_NAME = ("<none>:<none>", "<none>@<none>")
"""What engines before API 1.43 tell as the name of an image that has none."""


def _names_of_ours(image: Mapping[str, Any]) -> list[str]:
    """The names under which an image with a lab's label is ours: its id, if it has no name at all.

    An image that the reader made from one of ours has inherited its labels. By its name we know that it is theirs: ours
    have the lab's id in it, as `Lab.tag` gives it, as a lesson types it (``--tag web-$LAB``), or as Compose names it.
    """
    names = [name for name in image["RepoTags"] or [] if name not in _NO_NAME]
    if not names and all(name in _NO_NAME for name in image["RepoDigests"] or []):
        return [image["Id"]]
    lab, project = image["Labels"][labels.LAB], image["Labels"].get(_PROJECT, "")
    typed = re.compile(rf"[^/:]+-{re.escape(lab)}:latest")
    ours = (f"dockerlab/{lab}:", f"{project}-") if project.endswith(f"-{lab}") else (f"dockerlab/{lab}:",)
    return [name for name in names if name.startswith(ours) or typed.fullmatch(name)]


def _is_of_a_reader(container: Mapping[str, Any], image: Mapping[str, Any] | None) -> bool:
    """Whether a container has one of our labels only because it was started from an image of the reader's.

    Args:
        image: the container's image, if that has one of our labels.
    """
    if not image or image["Labels"][labels.LAB] != container["Labels"][labels.LAB]:
        return False
    ours = _names_of_ours(image)
    theirs = {*(image["RepoTags"] or [])} - {*ours}
    return not ours or container["Image"] in theirs or f"{container['Image']}:latest" in theirs


def _remove(client: docker.DockerClient, found: Iterable[Labeled]) -> None:
    """Remove objects. Another lab may remove the same ones at the same time: what is gone need not be removed, and what
    the engine refuses because it is being removed or used is tried again.

    Raises:
        APIError: the engine still refuses after `_PATIENCE_SECONDS`.
    """
    waiting = list(found)
    for left in tries(_PATIENCE_SECONDS, every=0.1):
        refused = []
        for item in waiting:
            try:
                _remove_one(client.api, item)
            except NotFound:
                pass
            except APIError as error:
                # Forbidden: a network has endpoints. Conflict: a removal is in progress, or a container uses an image.
                if error.status_code not in (403, 409) or not left:
                    raise
                refused.append(item)
        if not (waiting := refused):
            return


def _remove_one(api: docker.APIClient, item: Labeled) -> None:
    match item.kind:
        case "container":
            api.remove_container(item.id, v=True, force=True)
        case "network":
            api.remove_network(item.id)
        case "volume":
            api.remove_volume(item.id, force=True)
        case "image":
            api.remove_image(item.id, force=True)


def remove_lab(client: docker.DockerClient, lab: str) -> list[str]:
    """Remove all that one lab made. Return what is still there: an empty list, unless the engine refused.

    The records of the build cache are shared by all labs on an engine. They go with the last lab.
    """
    # Twice, if need be: a build that is broken off may take an image's name while that image is removed by it.
    for _ in range(2):
        _remove(client, [item for item in labeled(client, lab) if item.lab == lab])
        left = labeled(client, lab)
        if not any(item.lab == lab for item in left):
            break
    if not left:
        ledger.prune(client, lambda: bool(labeled(client)))
    return [str(item) for item in left if item.lab == lab]


def remove_containers(client: docker.DockerClient, lab: str) -> None:
    """Remove a lab's containers, and nothing else of it: what waits for one of them waits no longer."""
    _remove(client, [item for item in labeled(client, lab) if item.kind == "container" and item.lab == lab])


def sweep(client: docker.DockerClient) -> list[str]:
    """Remove what labs left whose process is dead: a killed kernel, a crashed audit. Return what was removed."""
    found = labeled(client)
    left = dead(found)
    _remove(client, left)
    if left == found:
        ledger.prune(client, lambda: bool(labeled(client)))
    return [str(item) for item in left]


def leftovers(client: docker.DockerClient) -> list[str]:
    """What dead labs left on the engine, a line each."""
    return [str(item) for item in dead(labeled(client))]


def clean(client: docker.DockerClient) -> list[str]:
    """Remove all that the laboratory ever labeled on this engine, of living labs too, and its base images.

    Return what was removed, a line each.
    """
    found = labeled(client)
    for image in client.api.images(filters={"label": f"{labels.BASE}=1"}):
        names = image["RepoTags"] or []
        found += [_image(image, name) for name in names if name.startswith(f"{labels.BASE_REPOSITORY}:")]
    _remove(client, found)
    ledger.prune(client, lambda: False)
    return list(dict.fromkeys(str(item) for item in found))
