"""The base image of the lessons: the official Python image where it can be had, else one that behaves like it.

The version is pinned here, and nowhere else.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import zstandard
from docker.errors import APIError, BuildError, DockerException, ImageNotFound
from filelock import FileLock
from requests.exceptions import RequestException

from ... import folders, labels
from ...errors import BaseImageMissing, EngineUnreachable, LabError
from .. import certificates, discovery, registry
from .. import kit as kits
from . import bootstrap

OFFICIAL = "python:3.13.9-slim"
"""The official image that the lessons are written for."""

VARIABLE = "DOCKERLAB_BASE_IMAGE"
"""Names an image on the engine to use as the base, whatever else there is. The laboratory's own tests do."""

REGISTRY_SECONDS = 5
"""How long a registry may take to answer, before the lab goes on without one."""

FORGET_SECONDS = 3600
"""For how long the lab remembers that an engine reached no registry."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class BaseImage:
    """The image to pass to builds as BASE_IMAGE.

    Attributes:
        tag: ``python:3.13.9-slim``, or a tag of the lab's own.
        origin: ``present``, ``kit``, ``pulled``, ``loaded`` (from a bundle) or ``bootstrapped``.
    """

    tag: str
    origin: str


def ensure(client: docker.DockerClient, report: Report = print) -> BaseImage:
    """Have a base image on the engine: present, else pulled, else loaded from a bundle, else bootstrapped.

    Where there is a kit, it is the kit's, and nothing else is tried: a build must not ask a network that is not there.

    Args:
        client: of the engine.
        report: is called with each line of progress; nothing is said where the image is present.

    Raises:
        BaseImageMissing: it cannot be had in any of these ways; the message tells why for each.
        EngineUnreachable: the engine does not answer any more.
    """
    try:
        if tag := present(client):
            return BaseImage(tag, "present")
        with FileLock(folders.cached("base") / "lock"):
            if tag := present(client):
                return BaseImage(tag, "present")
            image = _obtain(client, report)
    except APIError as error:
        raise BaseImageMissing(
            f"The engine refused what the base image needs ({_reason(error)}).",
            "Look at the engine's log, and its disk.",
        ) from error
    except (DockerException, RequestException) as error:
        raise EngineUnreachable(
            f"The engine did not answer while the base image was looked for ({type(error).__name__}).",
            "See whether it runs: `dockerlab doctor`.",
        ) from error
    except OSError as error:
        raise BaseImageMissing(
            f"{error.filename or folders.cache() / 'base'} cannot be used ({error.strerror or error}).",
            "Make room there, or set DOCKERLAB_CACHE to another folder.",
        ) from error
    report(f"Base image: {image.tag} is ready ({image.origin}).")
    return image


def present(client: docker.DockerClient) -> str | None:
    """The tag of the base image that the engine has, or None. The official one goes before the lab's own.

    Raises:
        BaseImageMissing: the engine has no image of the name that `DOCKERLAB_BASE_IMAGE` gives.
    """
    if named := os.environ.get(VARIABLE):
        if not _image_id(client, named):
            raise BaseImageMissing(
                f"{VARIABLE} names {named}, and the engine has no such image.",
                "Build or load it, or unset the variable.",
            )
        return named
    if kit := kits.find():
        return kit.tag if _image_id(client, kit.tag) else None
    if official := _image_id(client, OFFICIAL):
        trusted = certificates.of_this_machine()
        if not trusted:
            return OFFICIAL
        if _image_id(client, derived_tag(trusted)):
            return derived_tag(trusted)
        return OFFICIAL if _decision(official, trusted) in _read_json(_decisions()) else None
    own = client.api.images(name=labels.BASE_REPOSITORY, filters={"label": f"{labels.BASE}=1"})
    for image in sorted(own, key=lambda image: image["Created"], reverse=True):
        for tag in image.get("RepoTags") or []:
            if not kits.is_tag(_short(tag)):
                return _short(tag)
    return None


def _short(tag: str) -> str:
    """A tag as Docker says it; Podman puts a registry before each."""
    for prefix in ("docker.io/library/", "docker.io/", "localhost/"):
        tag = tag.removeprefix(prefix)
    return tag


def _image_id(client: docker.DockerClient, tag: str) -> str:
    try:
        return client.api.inspect_image(tag)["Id"]
    except ImageNotFound:
        return ""


def _obtain(client: docker.DockerClient, report: Report) -> BaseImage:
    """Get the image, or raise with the reason of each way that failed."""
    if kit := kits.find():
        from . import from_kit  # needs this package

        return BaseImage(from_kit.load(client, kit, report), "kit")
    if _image_id(client, OFFICIAL):
        return BaseImage(_trusting(client, report), "present")
    reasons = []
    try:
        _pull(client, report)
        return BaseImage(_trusting(client, report), "pulled")
    except LabError as error:
        reasons.append(f"not pulled: {error.seen}")
    try:
        tag = _load(client, report)
        return BaseImage(_trusting(client, report) if tag == OFFICIAL else tag, "loaded")
    except LabError as error:
        reasons.append(f"not loaded: {error.seen}")
    report(f"Base image: {OFFICIAL} is {'; '.join(reasons)}.")
    try:
        return BaseImage(bootstrap.bootstrap(client, report), "bootstrapped")
    except BaseImageMissing as error:
        reasons.append(f"not bootstrapped: {error.seen}")
        do = error.do or "Give the engine access to a registry, or set DOCKERLAB_BUNDLE to an archive of the image."
        log = "\n".join([*reasons, *error.log.splitlines()])
        raise BaseImageMissing(f"There is no base image, and {OFFICIAL} cannot be had.", do, log=log) from error


# --- pull ------------------------------------------------------------------------------------------------------------


def registry_problem(client: docker.DockerClient, *, remembered: bool = False) -> str:
    """Why the engine cannot pull the official image, or "" where it can. The engine itself asks the registry.

    Args:
        client: of the engine.
        remembered: whether an answer of the last hour will do.
    """
    memory = folders.cache() / "base" / "no-registry.json"
    engine = discovery.id_of(client)
    known = _read_json(memory)
    if remembered and engine in known and time.time() - known[engine]["asked"] < FORGET_SECONDS:
        return known[engine]["problem"]
    url = client.api._url("/distribution/{0}/json", OFFICIAL)
    try:
        client.api._raise_for_status(client.api.get(url, timeout=REGISTRY_SECONDS))
        problem = ""
    except APIError as error:
        # Podman cannot be asked, and a registry that does not have the image says so when it is pulled.
        problem = "" if error.status_code == 404 else _reason(error)
    except (DockerException, RequestException):
        problem = "no registry answers"
    known.pop(engine, None)
    if problem:
        known[engine] = {"asked": time.time(), "problem": problem}
    _write_json(memory, known)
    return problem


def _pull(client: docker.DockerClient, report: Report) -> None:
    if problem := registry_problem(client, remembered=True):
        raise LabError(problem)
    report(f"Base image: pulling {OFFICIAL} (about 45 MB). `docker image rm {OFFICIAL}` removes it.")
    try:
        for _ in registry.pull(client, OFFICIAL):
            pass
    except registry.NotPulled as error:
        raise LabError(_reason(error.seen)) from error


def _reason(error: Exception | str) -> str:
    """What the engine said, in a few words: the part after the last colon names the cause."""
    said = str(getattr(error, "explanation", None) or error).strip()
    return said.rsplit(": ", 1)[-1].strip('"() ') or type(error).__name__


# --- load ------------------------------------------------------------------------------------------------------------


def _load(client: docker.DockerClient, report: Report) -> str:
    """Load the image from the archive that DOCKERLAB_BUNDLE names, and return its tag."""
    bundle = os.environ.get("DOCKERLAB_BUNDLE")
    if not bundle:
        raise LabError("DOCKERLAB_BUNDLE names no archive")
    loaded: list[str] = []
    for archive in archives(Path(bundle).expanduser()):
        if not archive.is_file():
            raise LabError(f"DOCKERLAB_BUNDLE names {archive}, and there is no such file")
        report(f"Base image: loading {archive}.")
        try:
            for line in client.api.load_image(bootstrap.unpacked(archive)):
                if "error" in line:
                    raise LabError(f"the engine did not take {archive} ({line['error']})")
                loaded += re.findall(r"Loaded image: (\S+)", line.get("stream", ""))
        except (DockerException, RequestException, OSError, zstandard.ZstdError) as error:
            raise LabError(f"the engine did not take {archive} ({_reason(error)})") from error
        for tag in loaded:
            short = _short(tag)
            if short == OFFICIAL or short.startswith(f"{labels.BASE_REPOSITORY}:"):
                return short
    found = ", ".join(loaded) or "no archive of an image"
    raise LabError(f"{bundle} holds {found}, and neither {OFFICIAL} nor {labels.BASE_REPOSITORY}")


def archives(bundle: Path) -> list[Path]:
    """The archives in a bundle: itself, or those in the folder, one that is named after the base first."""
    if not bundle.is_dir():
        return [bundle]
    found = [path for path in bundle.iterdir() if path.name.endswith((".tar", ".tar.gz", ".tgz", ".tar.zst"))]
    return sorted(found, key=lambda path: (not path.name.startswith("base"), path.name))


# --- a network that opens TLS ----------------------------------------------------------------------------------------


def derived_tag(trusted: tuple[str, ...]) -> str:
    """The lab's own tag for the official image with this machine's certificate authorities in it."""
    return f"{labels.BASE_REPOSITORY}:{OFFICIAL.partition(':')[2]}-{certificates.digest(trusted)}"


def _trusting(client: docker.DockerClient, report: Report) -> str:
    """The official image; where `pip` in it is stopped by an unknown authority, one derived from it that knows it."""
    trusted = certificates.of_this_machine()
    if not trusted:
        return OFFICIAL
    if not _is_stopped(client):
        # Remembered for each image and set of authorities: the question costs seconds.
        known = _read_json(_decisions())
        known[_decision(_image_id(client, OFFICIAL), trusted)] = "trusted as it is"
        _write_json(_decisions(), known)
        return OFFICIAL
    tag = derived_tag(trusted)
    report(f"Base image: this network opens TLS, so {tag} is derived: {OFFICIAL} with this machine's authorities.")
    try:
        client.images.build(
            fileobj=_derivation(trusted), custom_context=True, tag=tag, labels={labels.BASE: "1"}, rm=True, forcerm=True
        )
    except BuildError as error:
        log = "".join(line.get("stream", "") for line in error.build_log)
        raise BaseImageMissing(
            f"{tag} could not be derived from {OFFICIAL}.", "See what was printed.", log=log
        ) from error
    return tag


def _is_stopped(client: docker.DockerClient) -> bool:
    """Whether `pip` in the official image meets a certificate that it does not trust: asked by fetching a package."""
    fetch = ["pip", "download", "--no-deps", "--no-cache-dir", "--retries=0", "--timeout=5", "--dest=/tmp", "pip"]
    # Should we be killed meanwhile, the next sweep removes the container.
    own = {labels.LAB: "base", labels.OWNER: str(labels.Owner.current())}
    container = client.containers.create(OFFICIAL, fetch, labels=own)
    try:
        container.start()
        container.wait(timeout=60)
        return b"CERTIFICATE_VERIFY_FAILED" in container.logs()
    finally:
        container.remove(force=True)


def _derivation(trusted: tuple[str, ...]) -> io.BytesIO:
    """The build context of the derived image: its Dockerfile, and the authorities."""
    dockerfile = [f"FROM {OFFICIAL}", f"COPY *.crt {certificates.STORE}/", "RUN update-ca-certificates"]
    dockerfile += [f"ENV {name}={certificates.BUNDLE}" for name in certificates.VARIABLES]
    files = {"Dockerfile": "\n".join(dockerfile)} | {f"dockerlab-{i}.crt": pem for i, pem in enumerate(trusted)}
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    context.seek(0)
    return context


def _decisions() -> Path:
    return folders.cache() / "base" / "decided.json"


def _decision(image_id: str, trusted: tuple[str, ...]) -> str:
    return f"{image_id} {certificates.digest(trusted)}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    folders.cached(path.parent.name)
    path.write_text(json.dumps(content, indent=1))
