"""A pytest plugin (`-p local_packages`): builds install Python packages from a local place, as they do from a kit.

The lessons, and the tests on an engine, install the same packages a hundred times. `make test` fetches them once, in
the base image itself, and the image that results is the base of all builds in the tests:

    python tests/local_packages.py

It is made again when the lessons name other versions. Where it is not on the engine, builds ask the index, as a
reader's do; `DOCKERLAB_BASE_IMAGE=` asks for that.

Five of the seven seconds of processor time that `pip install` takes go into compiling. So there is a second image whose
wheels hold the bytecode already. Lesson 08, which tells who compiles, does not get it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import time
from collections.abc import Callable

import docker
import pytest
from docker.errors import BuildError, ImageNotFound
from dockerlab import engine, folders, labels
from dockerlab.engine import kit
from dockerlab.engine.base import base_image
from dockerlab.engine.kit import find
from dockerlab.errors import LabError
from dockerlab_kit import build_packages, needs

ROOT = folders.NOTEBOOKS.parent
TAGS = ROOT / ".venv" / "packages.tags"
"""Where the images' tags are written, for the plugin: the plain one's, the compiled one's."""

COMPILES_ITSELF = "08_production_image"
"""What has this in its name gets the plain image."""

ASK_THE_INDEX = ("tests/audit/", "tests/kit/")
"""In the long proof, what is audited brings packages of its own, and a kit is made from what a reader has."""

OWN_TEXTS = ("tests/lessons/answers.py", "tests/projects/exec_form/requirements.txt")
"""What installs packages besides the lessons, in `make test` and in the proof of the lessons."""

RECIPE = f"""\
FROM {{base}}
COPY wanted /tmp/wanted
RUN set -e; \\
    for list in /tmp/wanted/*; do \\
        pip download --quiet --no-cache-dir --dest {kit.PLACE}/wheels --requirement $list; \\
    done; \\
    printf '[global]\\nno-index = true\\nfind-links = {kit.PLACE}/wheels\\n' > /etc/pip.conf; \\
    rm -r /tmp/wanted
"""

COMPILED = f"""\
FROM {{base}}
COPY wheels {kit.PLACE}/wheels
RUN printf '[global]\\nno-index = true\\nfind-links = {kit.PLACE}/wheels\\n' > /etc/pip.conf; \\
    printf '[install]\\ncompile = false\\n' >> /etc/pip.conf
"""
"""Not from the plain one: each wheel would be there twice, and lesson 07 copies its images to three more engines."""

COMPILE = f"""\
import contextlib, pathlib, py_compile, zipfile

for path in pathlib.Path({kit.PLACE!r}, "wheels").glob("*.whl"):
    with zipfile.ZipFile(path, "a") as wheel:
        for name in [name for name in wheel.namelist() if name.endswith(".py") and ".data/" not in name]:
            source, module = pathlib.Path("/tmp/source.py"), pathlib.PurePath(name)
            source.write_bytes(wheel.read(name))
            with contextlib.suppress(py_compile.PyCompileError):
                # An installed file is as old as its installation: a time of ours would not fit.
                never_checked = py_compile.PycInvalidationMode.UNCHECKED_HASH
                compiled = py_compile.compile(source, dfile=name, doraise=True, invalidation_mode=never_checked)
                suffix = "".join(pathlib.Path(compiled).suffixes)
                wheel.write(compiled, module.parent / "__pycache__" / f"{{module.stem}}{{suffix}}")
"""
"""Runs in the plain image, by its Python: the bytecode is for that one."""


def pytest_configure(config: pytest.Config) -> None:
    """Have this process, its workers and their kernels take the images, if the engine has them."""
    if base_image.VARIABLE in os.environ or not TAGS.exists():
        return
    tags = TAGS.read_text().split()
    with contextlib.suppress(LabError, ImageNotFound), contextlib.closing(engine.find().client()) as client:
        for tag in tags:
            client.images.get(tag)
        config.pluginmanager.register(Chosen(*tags))


class Chosen:
    def __init__(self, plain: str, compiled: str) -> None:
        # Nothing is named here: pytest-xdist's workers would take it for what somebody has asked for.
        self._plain, self._compiled = plain, compiled

    @pytest.hookimpl(tryfirst=True)  # before fixtures are made, and a notebook's kernel is started
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if item.nodeid.startswith(ASK_THE_INDEX) and (
            item.get_closest_marker("prove") or item.get_closest_marker("alone")
        ):
            os.environ[base_image.VARIABLE] = ""
        else:
            is_plain = COMPILES_ITSELF in item.nodeid
            os.environ[base_image.VARIABLE] = self._plain if is_plain else self._compiled


def wanted() -> dict[str, str]:
    """What `pip download` is asked for, a list at a time: names and versions, as lessons and tests have them."""
    texts = [*needs.texts(ROOT), *(path.read_text() for pattern in OWN_TEXTS for path in sorted(ROOT.glob(pattern)))]
    pins = needs.pins(texts)
    lists = {f"round-{number}": "\n".join(pinned) for number, pinned in enumerate(needs.rounds(pins))}
    for name in sorted(needs.sources(texts)):
        own = [pin for pin in sorted(pins) if pin.partition("==")[0] == name]
        lists[f"source-{name}"] = "\n".join([f"--no-binary {name}", *own])
        lists["backends"] = "\n".join(build_packages.BUILD_BACKENDS)
    return lists


def make(client: docker.DockerClient) -> list[str]:
    """Make the images that the engine has not yet. Return their tags: the plain one's, the compiled one's."""
    base = base_image.ensure(client).tag
    lists = wanted()
    plain = _made(client, base, RECIPE.format(base=base), {f"wanted/{name}": text for name, text in lists.items()})
    recipe, files = COMPILED.format(base=base), {"compile.py": COMPILE}
    return [plain, _made(client, plain, recipe, files, lambda: _compiled(client, plain))]


def _compiled(client: docker.DockerClient, plain: str) -> bytes:
    """The plain image's wheels with their bytecode, as a tar archive of the folder."""
    container = client.containers.create(plain, ["python3", "/tmp/compile.py"], labels={labels.BASE: "1"})
    try:
        container.put_archive("/tmp", _archive({"compile.py": COMPILE}))
        container.start()
        if container.wait()["StatusCode"]:
            log = container.logs().decode(errors="replace")
            raise LabError("The packages of the tests could not be compiled.", "See what Python printed.", log=log)
        return b"".join(container.get_archive(f"{kit.PLACE}/wheels")[0])
    finally:
        container.remove(force=True, v=True)


def _made(
    client: docker.DockerClient,
    origin: str,
    recipe: str,
    files: dict[str, str],
    archive: Callable[[], bytes] = lambda: b"",
) -> str:
    """The tag of an image made of all this; built now if it is not there yet, with what `archive` gives for context."""
    digest = hashlib.sha256(repr((client.images.get(origin).id, recipe, files)).encode()).hexdigest()
    tag = kit.tag(digest[:12])
    with contextlib.suppress(ImageNotFound):
        client.images.get(tag)
        return tag
    began = time.monotonic()
    try:
        client.images.build(
            fileobj=io.BytesIO(_archive({"Dockerfile": recipe, **files}, onto=archive())),
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


def _archive(files: dict[str, str], *, onto: bytes = b"") -> bytes:
    """A tar archive with texts in it, by name; with those that another one has, too."""
    archive = io.BytesIO(onto)
    with tarfile.open(fileobj=archive, mode="a" if onto else "w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    return archive.getvalue()


def main() -> None:
    os.environ.pop(base_image.VARIABLE, None)
    TAGS.unlink(missing_ok=True)
    if find():
        return  # builds install from the kit
    with contextlib.closing(engine.find().client()) as client:
        tags = make(client)
    TAGS.write_text("\n".join(tags))


if __name__ == "__main__":
    main()
