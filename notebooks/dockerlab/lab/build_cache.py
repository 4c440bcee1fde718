"""The engine's build cache: its records, and what each is the work of. Which of them are ours is in the `ledger`."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import NotRequired, TypedDict

import docker

from ..engine import raw_api

_PRUNED_AT_ONCE = 25
"""Records. The engine compiles the expression anew for each record that it has: 300 ids at once took minutes."""

_UPLOADED_CONTEXTS = ("http url http://build-context-", "copy /context /")
"""How the records of a build context begin that was sent with the request, as the laboratory's builds do and the docker
command line does not. Each upload has a name of its own, so that no later build can make use of them."""


SENT_BY_CLI = "local source for "
"""How the records of the files begin that the docker command line sends for a build."""


class Record(TypedDict):
    """What the engine says of a record, as far as it is read here."""

    ID: str
    CreatedAt: str
    Description: NotRequired[str]
    Size: NotRequired[int]
    InUse: bool


def records(client: docker.DockerClient) -> list[Record]:
    """The records of the engine's build cache."""
    # The SDK's `df` knows no type, and without one the engine measures every image and volume first. (Engines before
    # API 1.42 do so anyway.)
    usage = raw_api.request(client, "get", "/system/df", params={"type": "build-cache"}).json()
    return usage.get("BuildCache") or []


def descriptions(client: docker.DockerClient) -> dict[str, str]:
    """What each record is, by its id."""
    return {record["ID"]: record.get("Description", "") for record in records(client)}


def created_nanoseconds(record: Record) -> int:
    """When a record was made, in nanoseconds since the epoch on the engine's clock."""
    whole, _, fraction = record["CreatedAt"].rstrip("Z").partition(".")  # 2026-11-24T10:50:04.66500564Z
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * 10**9 + int(fraction.ljust(9, "0"))


def prune(client: docker.DockerClient, unwanted: Iterable[Record]) -> None:
    """Remove records; the engine keeps those that are in use."""
    # The engine removes no record that another builds on, and what builds on it is younger.
    ids = [record["ID"] for record in sorted(unwanted, key=created_nanoseconds, reverse=True)]
    for start in range(0, len(ids), _PRUNED_AT_ONCE):
        pattern = f"^({'|'.join(ids[start : start + _PRUNED_AT_ONCE])})$"
        client.api.prune_builds({"id": [pattern]}, all=True)  # type: ignore[arg-type]  # the stub knows no id


def prune_large_contexts(client: docker.DockerClient, bytes_: int) -> None:
    """Remove uploaded contexts of at least so many bytes that nothing uses: they do not wait for the last lab's end."""
    prune(client, [record for record in records(client) if is_context(record) and record.get("Size", 0) >= bytes_])


def is_context(record: Record) -> bool:
    """Whether a record is a build context that was sent with the request."""
    return record.get("Description", "").startswith(_UPLOADED_CONTEXTS)


STEP_NAME = re.compile(
    r"\[(?:.*?(?P<stage>\S+) +)?(?P<number> *\d+)/(?P<total>\d+)\] (?P<keyword>\w+)\s+(?P<text>.*)", re.DOTALL
)
"""How BuildKit names a step of a build, and how it describes the record of one."""


def executed(text: str) -> str:
    """What a ``RUN`` executes, as the descriptions of records have it: without flags, in single spaces."""
    command = re.sub(r"^(--\S+\s+)+", "", text).strip()
    if heredoc := re.fullmatch(r"<<\S+ \((.*?)(?:\.\.\.)?\)", command):
        command = heredoc[1]
    with contextlib.suppress(ValueError, TypeError):
        command = " ".join(json.loads(command))  # the exec form
    return " ".join(command.split())


def is_work_of(instruction: str, description: str) -> bool:
    """Whether a record can be the work of an instruction.

    Args:
        instruction: as the Dockerfile has it: ``COPY ./app /code/app``.
        description: the record's: ``[4/5] COPY ./app /code/app``.
    """
    instruction, description = " ".join(instruction.split()), " ".join(description.split())
    keyword, _, text = instruction.partition(" ")
    if keyword == "RUN":
        return " from exec " in description and executed(text) in description
    if keyword == "FROM":
        return description == "from local"  # BuildKit names no image where it has it already
    if not (found := STEP_NAME.match(description)) or found["keyword"].upper() != keyword:
        return False
    # Where the Dockerfile has a variable, the record has its value.
    literals = re.split(r"\$\{[^}]*\}|\$\w+", text)
    return re.fullmatch(".*".join(map(re.escape, literals)), found["text"]) is not None
