"""The build cache's ledger: which records of the engine's build cache the laboratory's builds have made.

The build cache carries no labels, so their ids are written into a file, one for each engine, in the cache folder; and
records are removed by these ids. Beside it is a folder of the builds that have begun and ended since the last pruning.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
from filelock import FileLock

from .. import folders, labels
from ..engine import discovery
from . import build_cache

_BEGUN, _ENDED = ".json", ".ended"

_CLOCKS_SECONDS = 5
"""How far the clocks of the engine and of this process may be apart: that of an engine in a virtual machine drifts."""

_CANCEL_SECONDS = 10
"""How long the engine may go on with a build whose process is gone; it looks at once, but a step may be finishing."""


def path_of(client: docker.DockerClient) -> Path:
    """The ledger of a client's engine."""
    engine = discovery.id_of(client)
    return folders.cached("builds") / f"{engine.replace(':', '-').replace('/', '-')}.txt"


@contextlib.contextmanager
def opened(client: docker.DockerClient) -> Iterator[set[str]]:
    """The ids in the ledger, to read and to change. No other process opens it, or prunes, in the meantime."""
    path = path_of(client)
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
    with FileLock(path_of(client).with_suffix(".alone.lock"), timeout=seconds):
        yield


def note_build_records(client: docker.DockerClient, ids: Iterable[str]) -> None:
    """Write down that these records were made by a build of the laboratory."""
    with opened(client) as ledger:
        ledger.update(ids)


def begin_build(client: docker.DockerClient, instructions: Sequence[str], *, is_cli: bool = False) -> Path:
    """Write down that a build begins, so that its records are found without their ids.

    A build whose process is killed can note none. And a record may have another id later on than when the build noted
    it: BuildKit keeps what a step has written as a record that can still be changed, until something builds on it.

    Touch the file that is returned every now and then while the build goes on, and give it to `end_build`.

    Args:
        instructions: the instructions that are carried out, as the Dockerfile has them.
        is_cli: whether the docker command line builds: what it sends leaves records of its own.
    """
    folder = begun_builds(client)
    folder.mkdir(exist_ok=True)
    began = {
        "owner": str(labels.Owner.current()),
        "began": time.time(),
        "instructions": list(instructions),
        "is_cli": is_cli,
    }
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".new", delete=False) as file:
        json.dump(began, file)
    return Path(file.name).rename(Path(file.name).with_suffix(_BEGUN))


def end_build(begun: Path, instructions: Sequence[str] = ()) -> None:
    """Write down that a build has ended, well or not.

    Args:
        begun: what `begin_build` returned.
        instructions: those that were not known when it began.
    """
    if instructions:
        known = json.loads(begun.read_text())
        begun.write_text(json.dumps({**known, "instructions": [*known["instructions"], *instructions]}))
    begun.touch()
    begun.rename(begun.with_suffix(_ENDED))


def begun_builds(client: docker.DockerClient) -> Path:
    """The folder with a file for each build that has begun, until it is pruned."""
    return path_of(client).with_suffix(".begun")


def prune(client: docker.DockerClient, keep: Callable[[], bool]) -> None:
    """Remove the records in the ledger that nothing uses, and contexts: a build that broke off could not note its own.

    What is still in use stays in the ledger.

    Args:
        keep: whether they all stay, since a lab is open that may be about to use them. No lab opens while this is
            called.
    """
    with opened(client) as ledger:
        if keep():
            return
        records = build_cache.records(client)
        ledger |= _made_by_builds(client, records)
        ours = [record for record in records if record["ID"] in ledger or build_cache.is_context(record)]
        build_cache.prune(client, ours)
        ledger.intersection_update(build_cache.descriptions(client))


def _made_by_builds(client: docker.DockerClient, records: Iterable[build_cache.Record]) -> set[str]:
    """The records of builds that have ended or whose process was killed: made meanwhile, by their instructions."""
    created = [(build_cache.created_nanoseconds(record) / 1e9, record) for record in records]
    found: set[str] = set()
    for path in [path for suffix in (_BEGUN, _ENDED) for path in begun_builds(client).glob(f"*{suffix}")]:
        with contextlib.suppress(OSError, ValueError, KeyError):  # another process has seen to it
            begun = json.loads(path.read_text())
            owner = labels.Owner.parse(begun["owner"])
            has_ended = path.suffix == _ENDED
            if not has_ended and owner and not owner.is_dead():
                continue
            earliest = begun["began"] - _CLOCKS_SECONDS
            latest = path.stat().st_mtime + _CLOCKS_SECONDS + (0 if has_ended else _CANCEL_SECONDS)
            own = [
                record
                for when, record in created
                if earliest <= when <= latest and _is_of_build(record.get("Description", ""), begun)
            ]
            found.update(record["ID"] for record in own)
            # Until then, the engine may still be finishing a step. What another build uses at the moment has another id
            # later on, and is looked for again.
            if (has_ended or time.time() > latest) and not any(record["InUse"] for record in own):
                path.unlink()
    return found


def _is_of_build(description: str, begun: Mapping[str, Any]) -> bool:
    """Whether a record can be of a build that was noted with these instructions."""
    if begun.get("is_cli") and description.startswith(build_cache.SENT_BY_CLI):
        return True
    return any(build_cache.is_work_of(instruction, description) for instruction in begun["instructions"])
