"""Leave nothing behind: what the laboratory labelled can be found and removed, and nothing else is ever touched.

Objects are found by label. The build cache carries no labels, so the laboratory writes the ids of the records that its
own builds made into a ledger (one file for each engine, in the cache folder), and removes records by these ids.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from filelock import FileLock

from . import folders, labels, paths
from .buildkit_trace import is_work_of
from .engine import discovery


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
        build_cache=frozenset(f"{id_} {what}" for id_, what in build_records(client).items()),
    )


# --- the build cache -------------------------------------------------------------------------------------------------


_PRUNED_AT_ONCE = 25
"""Records. The engine compiles the expression anew for each record that it has: 300 ids at once took minutes."""


def build_cache(client: docker.DockerClient) -> list[dict[str, Any]]:
    """The records of the engine's build cache, as the engine tells them."""
    api = client.api
    # Without the type, the engine measures every image and volume first. Engines before API 1.42 do so anyway.
    usage = api._result(api._get(api._url("/system/df"), params={"type": "build-cache"}), True)
    return usage.get("BuildCache") or []


def build_records(client: docker.DockerClient) -> dict[str, str]:
    """The records of the engine's build cache: id and description."""
    return {record["ID"]: record.get("Description", "") for record in build_cache(client)}


def created_nanoseconds(record: Mapping[str, Any]) -> int:
    """When a record was made, in nanoseconds since the epoch on the engine's clock."""
    whole, _, fraction = record["CreatedAt"].rstrip("Z").partition(".")  # 2026-11-24T10:50:04.66500564Z
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * 10**9 + int(fraction.ljust(9, "0"))


def _ledger(client: docker.DockerClient) -> Path:
    engine = discovery.id_of(client)
    return paths.cache() / "builds" / f"{engine.replace(':', '-').replace('/', '-')}.txt"


@contextlib.contextmanager
def _open_ledger(client: docker.DockerClient) -> Iterator[set[str]]:
    """The ids in the ledger, to read and to change; no other process has it open at the same time."""
    path = _ledger(client)
    folders.cached("builds")
    with FileLock(path.with_suffix(".lock")):
        ids = set(path.read_text().split()) if path.exists() else set()
        yield ids
        path.write_text("".join(f"{item}\n" for item in sorted(ids)))


@contextlib.contextmanager
def alone(client: docker.DockerClient, seconds: float) -> Iterator[None]:
    """For a build that no other process may share the work of: only one of them is in such a block at a time.

    Args:
        seconds: how long to wait for the others.

    Raises:
        TimeoutError: the others took longer.
    """
    path = _ledger(client).with_suffix(".alone.lock")
    folders.cached("builds")
    with FileLock(path, timeout=seconds):
        yield


def note_build_records(client: docker.DockerClient, ids: Iterable[str]) -> None:
    """Write down that these records were made by a build of the laboratory."""
    with _open_ledger(client) as ledger:
        ledger.update(ids)


def begin_build(client: docker.DockerClient, instructions: Sequence[str]) -> Path:
    """Write down that a build begins, so that its records are found without their ids.

    A build whose process is killed can note none. And a record may have another id later on than when the build noted
    it: BuildKit keeps what a step has written as a record that can still be changed, until something builds on it.

    Touch the file that is returned every now and then while the build goes on, and give it to `end_build`.

    Args:
        instructions: the instructions that are carried out, as the Dockerfile has them.
    """
    folder = _begun_builds(client)
    folders.cached("builds")
    folder.mkdir(exist_ok=True)
    began = {"owner": str(labels.Owner.current()), "began": time.time(), "instructions": list(instructions)}
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".new", delete=False) as file:
        json.dump(began, file)
    return Path(file.name).rename(Path(file.name).with_suffix(_BEGUN))


def end_build(begun: Path) -> None:
    """Write down that a build has ended, well or not."""
    begun.touch()
    begun.rename(begun.with_suffix(_ENDED))


_BEGUN, _ENDED = ".json", ".ended"

_CLOCKS_SECONDS = 5
"""How far the clocks of the engine and of this process may be apart: that of an engine in a virtual machine drifts."""

_CANCEL_SECONDS = 10
"""How long the engine may go on with a build whose process is gone; it looks at once, but a step may be finishing."""


def _begun_builds(client: docker.DockerClient) -> Path:
    return _ledger(client).with_suffix(".begun")


def _made_by_builds(client: docker.DockerClient, records: Iterable[Mapping[str, Any]]) -> set[str]:
    """The records of builds that have ended or whose process was killed: made meanwhile, by their instructions."""
    created = [(created_nanoseconds(record) / 1e9, record) for record in records]
    found: set[str] = set()
    for path in [*_begun_builds(client).glob(f"*{_BEGUN}"), *_begun_builds(client).glob(f"*{_ENDED}")]:
        with contextlib.suppress(OSError, ValueError, KeyError):  # another process has seen to it
            begun = json.loads(path.read_text())
            owner = labels.Owner.parse(begun["owner"])
            has_ended = path.suffix == _ENDED
            if not has_ended and owner and not owner.is_dead():
                continue
            earliest = begun["began"] - _CLOCKS_SECONDS
            latest = path.stat().st_mtime + _CLOCKS_SECONDS + (0 if has_ended else _CANCEL_SECONDS)
            found |= {
                record["ID"]
                for when, record in created
                if earliest <= when <= latest
                and any(is_work_of(instruction, record.get("Description", "")) for instruction in begun["instructions"])
            }
            if has_ended or time.time() > latest:  # until then, the engine may still be finishing a step
                path.unlink()
    return found


_UPLOADED_CONTEXTS = ("http url http://build-context-", "copy /context /")
"""How the records of a build context begin that was sent with the request, as the laboratory's builds do and the docker
command line does not. Each upload has a name of its own, so that no later build can make use of them."""


def prune_large_contexts(client: docker.DockerClient, bytes_: int) -> None:
    """Remove uploaded contexts of at least so many bytes that nothing uses: they do not wait for the last lab's end."""
    large = [
        record
        for record in build_cache(client)
        if record.get("Description", "").startswith(_UPLOADED_CONTEXTS) and record.get("Size", 0) >= bytes_
    ]
    _prune(client, large)


@contextlib.contextmanager
def opening(client: docker.DockerClient) -> Iterator[None]:
    """For the moment in which a lab marks itself as open: no other process prunes the build cache meanwhile."""
    with _open_ledger(client):
        yield


def _prune_build_records(client: docker.DockerClient, *, of_open_labs: bool = False) -> None:
    """Remove the records in the ledger that nothing uses, and contexts: a build that broke off could not note its own.

    What is still in use stays in the ledger.

    Args:
        of_open_labs: whether they go even where a lab is open, which may be about to use them.
    """
    with _open_ledger(client) as ledger:
        if not of_open_labs and _find(client):
            return
        records = build_cache(client)
        ledger |= _made_by_builds(client, records)
        ours = [
            record
            for record in records
            if record["ID"] in ledger or record.get("Description", "").startswith(_UPLOADED_CONTEXTS)
        ]
        _prune(client, ours)
        ledger.intersection_update(build_records(client))


def _prune(client: docker.DockerClient, records: list[dict[str, Any]]) -> None:
    """Remove records; the engine keeps those that are in use."""
    # The engine removes no record that another builds on, and what builds on it is younger.
    records = sorted(records, key=created_nanoseconds, reverse=True)
    for start in range(0, len(records), _PRUNED_AT_ONCE):
        some = [record["ID"] for record in records[start : start + _PRUNED_AT_ONCE]]
        filters = json.dumps({"id": [f"^({'|'.join(some)})$"]})  # the engine takes it as a regular expression
        url = client.api._url("/build/prune")
        client.api._result(client.api._post(url, params={"filters": filters, "all": True}), True)


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
        _prune_build_records(client)
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
        _prune_build_records(client)
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
    _prune_build_records(client, of_open_labs=True)
    return list(dict.fromkeys(f"{item.kind} {item.name}" for item in found))
