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

from docker.errors import APIError, ImageNotFound

from ..build.dockerfile import Dockerfile
from ..image import contents as images
from ..lab.lab import Lab
from .observations import Layers, Secret

_SECRET_NAME = re.compile(
    r"(?i)(^|_)(password|passwd|secret|token|api_?key|private_?key|secret_?key|access_?key|credentials?|auth)(_|$)"
)
_NO_SECRET_NAME = re.compile(r"(?i)(^GPG_KEY$|_FILE$|_PATH$|_URL$|_ALGORITHM$|_EXPIRE|_TTL$|_LENGTH$|_HEADER$|_NAME$)")
_PLACEHOLDER = re.compile(r"^\$|^\s*$|^(true|false|none|null|\d{1,4})$", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"\b\w+://[^/\s:@]+:([^@/\s$]+)@")

_KEY = re.compile(rb"-----BEGIN ([A-Z]+ )*PRIVATE KEY-----")
_KEY_NAME = re.compile(r"(^id_(rsa|dsa|ecdsa|ed25519)$)|\.(pem|key|p12|pfx)$")
_ENV_NAME = re.compile(r"^\.env(\..+)?$|^[\w-]+\.env$")
_EXAMPLE = re.compile(r"(?i)example|sample|template|dist$|\.md$")
_CREDENTIALS = re.compile(
    r"(^|/)(\.pypirc|\.netrc|\.git-credentials|\.htpasswd|credentials\.json|service[-_]account.*\.json|\.aws/credentials|"
    r"\.docker/config\.json|\.npmrc|\.pgpass|\.vault[-_]token)$"
)
_PACKAGES = re.compile(r"(^|/)(site-packages|dist-packages)/")
_NOT_THE_PROJECTS = re.compile(
    r"(^|/)(site-packages|dist-packages|node_modules)/|^(usr/(lib|share)|etc/ssl|var/lib/dpkg)/"
)
_READ_BYTES = 64 * 1024

MOST_SECRETS = 1000
"""How many secrets are told of; more are not looked for."""


def secret_in_file(path: str, content: bytes) -> str:
    """What a file is that looks like a secret; empty where it does not.

    Args:
        path: its path, of which the name and the folders count.
        content: how it begins.
    """
    name = PurePosixPath(path).name
    if _EXAMPLE.search(name):
        return ""
    if _KEY.search(content):
        return "a private key"
    if _KEY_NAME.search(name) and name.startswith("id_"):
        return "a private key"
    if _ENV_NAME.match(name) and re.search(rb"^\s*(export\s+)?[A-Za-z_]\w*\s*=\s*\S", content, re.MULTILINE):
        return "a file of variables"
    if _CREDENTIALS.search(path) and content.strip():
        if name == ".npmrc" and b"_auth" not in content:
            return ""
        return "credentials"
    return ""


def secret_in_assignment(name: str, value: str) -> bool:
    """Whether a variable's name, and a value that is not empty and no placeholder, look like a secret."""
    if _URL_PASSWORD.search(value):
        return True
    return bool(_SECRET_NAME.search(name) and not _NO_SECRET_NAME.search(name) and not _PLACEHOLDER.match(value))


def read(lab: Lab, image: str, dockerfile: Dockerfile, trouble: Callable[[], str]) -> Layers:
    """Read all layers of an image.

    Args:
        image: its tag.
        dockerfile: what it was built from: tells the line of a secret.
        trouble: is asked again and again: a reason to give up, or an empty text.

    Raises:
        LabError: a layer cannot be read, or there was a reason to give up.
    """
    api = lab.client.api
    config = api.inspect_image(image)
    ours = config["RootFS"]["Layers"]
    base = _base(lab, ours)
    sizes: list[int] = []
    packages = 0
    secrets = list(_in_history(api.history(image), base, dockerfile))
    secrets += _in_environment(
        config["Config"].get("Env") or [], (base or {}).get("Config", {}).get("Env") or [], dockerfile
    )
    of_base = len(base["RootFS"]["Layers"]) if base else 0
    with images.saved(lab, image, trouble) as saved:
        for number, layer in enumerate(images.layers(saved)):
            size = 0
            for member, content in images.files(saved, layer, trouble):
                if not content:
                    continue
                size += member.size
                if number < of_base:
                    continue
                path = member.name.removeprefix("./").lstrip("/")
                packages += member.size if _PACKAGES.search(path) else 0
                if _NOT_THE_PROJECTS.search(path) or len(secrets) >= MOST_SECRETS:
                    continue
                if what := secret_in_file(path, content.read(_READ_BYTES)):
                    secrets.append(Secret(what, f"/{path}", _line_of(dockerfile, path)))
            sizes.append(size)
    return Layers(
        size_bytes=sum(sizes),
        base_bytes=sum(sizes[:of_base]) if base else None,
        packages_bytes=packages,
        secrets=tuple(dict.fromkeys(secrets)),
        reference_bytes=_reference(lab),
    )


def _base(lab: Lab, layers: Sequence[str]) -> dict[str, Any] | None:
    """The image on the engine that most of these layers come from, and that is not one of ours."""
    best: dict[str, Any] | None = None
    for item in lab.client.api.images():
        tags = item.get("RepoTags") or []
        if not tags or any(tag.startswith(f"dockerlab/{lab.id}") for tag in tags):
            continue
        if any(re.match(r"dockerlab/[0-9a-f]{8}:", tag) for tag in tags):
            continue
        with contextlib.suppress(APIError, ImageNotFound):
            config = lab.client.api.inspect_image(item["Id"])
            theirs = config["RootFS"].get("Layers") or []
            most = len(best["RootFS"]["Layers"]) if best else 0
            if most < len(theirs) < len(layers) and list(layers[: len(theirs)]) == theirs:
                best = config
    return best


def _reference(lab: Lab) -> int:
    return sum(item["Size"] for item in lab.client.api.history(lab.base_image))


def _in_history(
    history: Sequence[dict[str, Any]], base: dict[str, Any] | None, dockerfile: Dockerfile
) -> Iterable[Secret]:
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
    for instruction in copies:
        if name in instruction.text:
            return instruction.line
    whole = [i for i in copies if re.search(r"\s\./?\s", i.text + " ")]
    return whole[0].line if whole else None
