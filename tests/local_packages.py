"""A pytest plugin (`-p local_packages`): builds install Python packages from a local place, as they do from a kit.

The lessons, and the tests on an engine, install the same packages a hundred times. `make test` fetches them once, in
the base image itself, and the image that results is the base of all builds in the tests:

    python tests/local_packages.py

It is made again when the lessons name other versions. Where it is not on the engine, builds ask the index, as a
reader's do; `DOCKERLAB_BASE_IMAGE=` asks for that.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import time

import docker
import pytest
from docker.errors import BuildError, ImageNotFound
from dockerlab import engine, labels, paths
from dockerlab.engine import base_image
from dockerlab.errors import LabError
from dockerlab.kit import find, making, needs, use

ROOT = paths.NOTEBOOKS.parent
TAG = ROOT / ".venv" / "packages.tag"
"""Where the image's tag is written, for the plugin."""

OWN_TEXTS = ("tests/lessons/answers.py", "tests/projects/exec_form/requirements.txt")
"""What installs packages besides the lessons, in `make test` and in the proof of the lessons."""

RECIPE = f"""\
FROM {{base}}
COPY wanted /tmp/wanted
RUN set -e; \\
    for list in /tmp/wanted/*; do \\
        pip download --quiet --no-cache-dir --dest {use.PLACE}/wheels --requirement $list; \\
    done; \\
    printf '[global]\\nno-index = true\\nfind-links = {use.PLACE}/wheels\\n' > /etc/pip.conf; \\
    rm -r /tmp/wanted
"""


def pytest_configure(config: pytest.Config) -> None:
    """Have this process, its workers and their kernels take the image, if the engine has it."""
    if base_image.VARIABLE in os.environ or not TAG.exists():
        return
    tag = TAG.read_text()
    with contextlib.suppress(LabError, ImageNotFound), contextlib.closing(engine.find().client()) as client:
        client.images.get(tag)
        os.environ[base_image.VARIABLE] = tag


def wanted() -> dict[str, str]:
    """What `pip download` is asked for, a list at a time: names and versions, as lessons and tests have them."""
    texts = [*needs.texts(ROOT), *(path.read_text() for pattern in OWN_TEXTS for path in sorted(ROOT.glob(pattern)))]
    pins = needs.pins(texts)
    lists = {f"round-{number}": "\n".join(pinned) for number, pinned in enumerate(needs.rounds(pins))}
    for name in sorted(needs.sources(texts)):
        own = [pin for pin in sorted(pins) if pin.partition("==")[0] == name]
        lists[f"source-{name}"] = "\n".join([f"--no-binary {name}", *own])
        lists["backends"] = "\n".join(making.BUILD_BACKENDS)
    return lists


def make(client: docker.DockerClient) -> str:
    """Make the image, where the engine has it not yet. Return its tag."""
    base = base_image.ensure(client).tag
    lists = wanted()
    recipe = RECIPE.format(base=base)
    digest = hashlib.sha256(repr((client.images.get(base).id, recipe, lists)).encode()).hexdigest()
    tag = use.tag(digest[:12])
    with contextlib.suppress(ImageNotFound):
        client.images.get(tag)
        return tag
    began = time.monotonic()
    files = {"Dockerfile": recipe, **{f"wanted/{name}": text for name, text in lists.items()}}
    try:
        client.images.build(
            fileobj=_context(files),
            custom_context=True,
            tag=tag,
            labels={labels.BASE: "1"},
            rm=True,
            forcerm=True,
        )
    except BuildError as error:
        log = "".join(line.get("stream", "") for line in error.build_log)
        raise LabError("The packages of the tests could not be fetched.", "See what pip printed.", log=log) from error
    print(f"{tag} has the packages that builds in the tests install ({time.monotonic() - began:.0f} s).")
    return tag


def _context(files: dict[str, str]) -> io.BytesIO:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    context.seek(0)
    return context


def main() -> None:
    os.environ.pop(base_image.VARIABLE, None)
    TAG.unlink(missing_ok=True)
    if find():
        return  # builds install from the kit
    with contextlib.closing(engine.find().client()) as client:
        tag = make(client)
    TAG.write_text(tag)


if __name__ == "__main__":
    main()
