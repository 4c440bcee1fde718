"""Which files an application has written, and which it could not write."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator

from ..engine import raw_api
from ..run.container import Service
from . import probe

CHANGES_BYTES = 16_000_000
"""What is read of the engine's list of changed files: some 200,000 of them."""

_LONGEST_PATH = 300  # characters of a path in a log
_MOST_REFUSALS = 1000  # places of a log that are looked at for one

_WRITABLE = (probe.FOLDER, "/tmp", "/run", "/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
"""What can be written, or is not the image's, with a read-only root, too."""


def written(service: Service) -> tuple[str, ...]:
    """The files that were written since the start, without those that can be written with a read-only root."""
    paths = _without_folders(_changed(service))
    return tuple(sorted(path for path in paths if not path.startswith(_WRITABLE) and "__pycache__" not in path))


def refused(log: str) -> tuple[str, ...]:
    """The paths that a log says could not be written."""
    after: dict[str, None] = {}
    before: dict[str, None] = {}
    # Only so many places, and so much text around each: a pattern that searches all of a log may take hours.
    for found in itertools.islice(re.finditer(r"(?i)read-only file ?system", log), _MOST_REFUSALS):
        if path := re.match(r":?\s*['\"]([^'\"]+)['\"]", log[found.end() :][:_LONGEST_PATH]):
            after[path[1]] = None
        if path := re.search(r"(/[^\s'\"`:]+)['\"`]?:? $", log[max(0, found.start() - _LONGEST_PATH) : found.start()]):
            before[path[1]] = None
    return tuple(after | before)


def _changed(service: Service) -> Iterator[str]:
    """The paths that differ from the image's, as `docker diff` lists them: the first `CHANGES_BYTES` of the list."""
    # The SDK's own `diff` reads all of the answer, however long that is: `raw_api` streams it.
    path, id_ = "/containers/{0}/changes", str(service.container.id)
    response = raw_api.request(service.lab.client, "get", path, id_, stream=True)
    listed = bytearray()
    with response:
        for chunk in response.iter_content(65536):
            listed.extend(chunk)
            if len(listed) > CHANGES_BYTES:
                break
    return _listed(listed.decode(errors="replace"))


def _listed(text: str) -> Iterator[str]:
    """The paths of a list in JSON, whose end may be missing; ``null`` is an empty one."""
    decoder, place = json.JSONDecoder(), text.find("{")
    with contextlib.suppress(ValueError):
        while 0 <= place < len(text):
            item, place = decoder.raw_decode(text, place)
            yield item["Path"]
            place += 1  # the comma


def _without_folders(paths: Iterable[str]) -> list[str]:
    """The paths below which no other lies."""
    # In this order, what lies in a folder comes right after it.
    ordered = sorted(set(paths), key=lambda path: path.replace("/", "\0"))
    following = itertools.chain(ordered[1:], [""])
    return [path for path, after in zip(ordered, following, strict=False) if not after.startswith(f"{path}/")]
