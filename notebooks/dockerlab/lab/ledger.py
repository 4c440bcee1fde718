"""The build cache's ledger. The build cache carries no labels, so the laboratory writes the ids of the records that its
own builds made into a ledger (one file for each engine, in the cache folder), and removes records by these ids.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
from filelock import FileLock

from .. import folders, labels
from ..engine import discovery

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
    return folders.cache() / "builds" / f"{engine.replace(':', '-').replace('/', '-')}.txt"


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


def prune(client: docker.DockerClient, keep: Callable[[], bool]) -> None:
    """Remove the records in the ledger that nothing uses, and contexts: a build that broke off could not note its own.

    What is still in use stays in the ledger.

    Args:
        keep: whether they all stay, since a lab is open that may be about to use them; no lab opens while it is asked.
    """
    with _open_ledger(client) as ledger:
        if keep():
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


# --- whose work is a record? ------------------------------------------------------------------------------------------


STEP_NAME = re.compile(
    r"\[(?:.*?(?P<stage>\S+) +)?(?P<number> *\d+)/(?P<total>\d+)\] (?P<keyword>\w+)\s+(?P<text>.*)", re.DOTALL
)
"""How BuildKit names a step of a build, and how it describes the record of one."""


def executed(text: str) -> str:
    """What a ``RUN`` executes, as the descriptions of records tell it: without flags, in single spaces."""
    command = re.sub(r"^(--\S+\s+)+", "", text).strip()
    if heredoc := re.fullmatch(r"<<\S+ \((.*?)(?:\.\.\.)?\)", command):
        command = heredoc[1]
    with contextlib.suppress(ValueError, TypeError):
        command = " ".join(json.loads(command))  # the exec form
    return " ".join(command.split())


def is_work_of(instruction: str, record: str) -> bool:
    """Whether a record of the build cache can be the work of an instruction, by its description.

    Args:
        instruction: as the Dockerfile has it: ``COPY ./app /code/app``.
        record: the record's description: ``[4/5] COPY ./app /code/app``.
    """
    instruction, record = " ".join(instruction.split()), " ".join(record.split())
    keyword, _, text = instruction.partition(" ")
    if keyword == "RUN":
        return " from exec " in record and executed(text) in record
    if keyword == "FROM":
        return record == "from local"  # BuildKit names no image where it has it already
    if not (found := STEP_NAME.match(record)) or found["keyword"].upper() != keyword:
        return False
    # Where the Dockerfile has a variable, the record has its value.
    literals = re.split(r"\$\{[^}]*\}|\$\w+", text)
    return re.fullmatch(".*".join(map(re.escape, literals)), found["text"]) is not None
