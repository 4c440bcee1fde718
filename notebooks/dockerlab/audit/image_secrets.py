"""What lies in an image's layers: how much, and whether anything in them looks like a secret.

The image is read as `docker save` writes it, which works with every engine and storage. Layers of the image that it is
built on are counted, and not searched: they are not the project's.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

from docker.errors import APIError

from ..build.dockerfile import Dockerfile
from ..image import archive
from ..lab.lab import Lab
from .observations import Layers, Secret
from .secret_signs import secret_in_assignment, secret_in_file

_PACKAGES = re.compile(r"(^|/)(site-packages|dist-packages)/")
_NOT_THE_PROJECTS = re.compile(
    r"(^|/)(site-packages|dist-packages|node_modules)/|^(usr/(lib|share)|etc/ssl|var/lib/dpkg)/"
)
_BEGINNING_BYTES = 64 * 1024

MOST_SECRETS = 1000
"""How many secrets are reported; more are not looked for."""


def read(lab: Lab, image: str, dockerfile: Dockerfile, watch: Callable[[], str]) -> Layers:
    """Read all layers of an image.

    Args:
        lab: the lab that built it.
        image: its tag.
        dockerfile: what it was built from: tells the line of a secret.
        watch: called again and again: a reason to stop, or an empty text.

    Raises:
        LabError: a layer cannot be read, or there was a reason to stop.
    """
    built = lab.client.images.get(image)
    base = _base_image(lab, built.attrs["RootFS"]["Layers"])
    inherited = (base or {}).get("Config", {}).get("Env") or []
    secrets = [
        *_in_history(built.history(), dockerfile),
        *_in_environment(built.attrs["Config"].get("Env") or [], inherited, dockerfile),
    ]
    sizes: list[int] = []
    packages = 0
    of_base = len(base["RootFS"]["Layers"]) if base else 0
    with archive.saved(lab, image, watch) as saved:
        for number, layer in enumerate(saved.layers):
            sizes.append(0)
            for member, content in saved.files(layer):
                if not content:
                    continue
                sizes[-1] += member.size
                if number < of_base:
                    continue
                path = archive.path_of(member)
                packages += member.size if _PACKAGES.search(path) else 0
                if _NOT_THE_PROJECTS.search(path) or len(secrets) >= MOST_SECRETS:
                    continue
                if what := secret_in_file(path, content.read(_BEGINNING_BYTES)):
                    secrets.append(Secret(what, f"/{path}", _line_of(dockerfile, path)))
    return Layers(
        size_bytes=sum(sizes),
        base_bytes=sum(sizes[:of_base]) if base else None,
        packages_bytes=packages,
        secrets=tuple(dict.fromkeys(secrets)),
        reference_bytes=sum(item["Size"] for item in lab.client.images.get(lab.base_image).history()),
    )


def _base_image(lab: Lab, layers: Sequence[str]) -> dict[str, Any] | None:
    """The configuration of the image on the engine that most of these layers come from, and that is no lab's own."""
    best: dict[str, Any] | None = None
    most = 0
    for item in lab.client.api.images():
        tags = item.get("RepoTags") or []
        if not tags or any(re.match(r"dockerlab/[0-9a-f]{8}:", tag) for tag in tags):
            continue
        with contextlib.suppress(APIError):  # it is gone, or broken
            config = lab.client.images.get(item["Id"]).attrs
            theirs = config["RootFS"].get("Layers") or []
            if most < len(theirs) < len(layers) and list(layers[: len(theirs)]) == theirs:
                best, most = config, len(theirs)
    return best


def _in_history(history: Sequence[dict[str, Any]], dockerfile: Dockerfile) -> Iterable[Secret]:
    """Build arguments that a step was carried out with: they stay in the history for everybody to read."""
    for item in history:
        created = item.get("CreatedBy") or ""
        found = re.match(r"(?:RUN )?\|(\d+) (.*)", created, re.DOTALL)
        for text in found[2].split(" ")[: int(found[1])] if found else []:
            name, _, value = text.partition("=")
            if secret_in_assignment(name, value):
                line = _line_matching(dockerfile, "ARG", name)
                yield Secret(f"the build argument {name}", "the history (`docker history --no-trunc`)", line)


def _in_environment(environment: Sequence[str], inherited: Sequence[str], dockerfile: Dockerfile) -> Iterable[Secret]:
    for text in environment:
        name, _, value = text.partition("=")
        if text not in inherited and secret_in_assignment(name, value):
            yield Secret(f"the variable {name}", "the image's ENV", _line_matching(dockerfile, "ENV", name))


def _line_matching(dockerfile: Dockerfile, keyword: str, name: str) -> int | None:
    pattern = re.compile(rf"(^|\s){re.escape(name)}(=|\s|$)")
    lines = [i.line for i in dockerfile.instructions if i.keyword == keyword and pattern.search(i.text)]
    return lines[-1] if lines else None


def _line_of(dockerfile: Dockerfile, path: str) -> int | None:
    """The COPY or ADD that names the file; else the first that copies a whole folder."""
    copies = [i for i in dockerfile.instructions if i.keyword in ("COPY", "ADD") and "--from" not in i.text]
    name = PurePosixPath(path).name
    named = [i for i in copies if name in i.text] or [i for i in copies if re.search(r"\s\./?\s", i.text + " ")]
    return named[0].line if named else None
