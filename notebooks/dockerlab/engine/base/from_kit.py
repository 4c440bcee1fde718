"""The base image with a kit's packages inside, so that `pip install` and `apt-get install` in builds need no network.

The packages lie in the image, and its pip, uv and apt are told to look there and nowhere else. No server has to run,
and the Dockerfiles of the lessons stay as they are.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import docker
from docker.errors import APIError, BuildError, ImageNotFound

from ... import labels
from ...errors import BaseImageMissing
from .. import certificates
from ..kit import PLACE, Kit
from . import bootstrap

Report = Callable[[str], None]

_FILES = {
    "etc/pip.conf": f"[global]\nno-index = true\nfind-links = {PLACE}/wheels\ndisable-pip-version-check = true\n",
    "etc/uv/uv.toml": f'no-index = true\nfind-links = ["{PLACE}/wheels"]\n',
    # The checksums of the kit cover these packages; a signature is made by whoever has an archive's key.
    "etc/apt/sources.list.d/kit.list": f"deb [trusted=yes] file:{PLACE}/debs ./\n",
}

_SETTLE = """\
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/apt.conf.d/machine \
/usr/local/share/ca-certificates/dockerlab-*.crt && update-ca-certificates --fresh >/dev/null"""
"""The mirror, the proxy and the authorities of the machine that made the kit are not this machine's."""


def load(client: docker.DockerClient, kit: Kit, report: Report = print) -> str:
    """Load the kit's base image, and derive the one that has the packages inside. Return its tag.

    Raises:
        KitRefused: the kit is not whole, or for another machine.
        BaseImageMissing: the engine does not take the image.
    """
    kit.check()
    if (theirs := client.version().get("Arch", kit.about["arch"])) != kit.about["arch"]:
        raise BaseImageMissing(
            f"The kit is for {kit.about['arch']}, and the engine's processor is {theirs}.", "Use a kit made for it."
        )
    try:
        client.images.get(kit.base_tag)
    except ImageNotFound:
        report(f"Base image: loading {kit.base_archive}.")
        try:
            for _ in client.api.load_image(bootstrap.unpacked(kit.base_archive)):
                pass
            client.images.get(kit.base_tag)
        except (APIError, ImageNotFound) as error:
            raise BaseImageMissing(f"The engine did not take {kit.base_archive}.", "See its log.") from error
    report(f"Base image: {kit.tag} is made from {kit.base_tag} and the kit's packages.")
    with _context(kit, certificates.of_this_machine()) as context:
        try:
            client.images.build(
                fileobj=context,
                custom_context=True,
                tag=kit.tag,
                labels={labels.BASE: "1"},
                network_mode="none",
                rm=True,
                forcerm=True,
            )
        except BuildError as error:
            log = "".join(line.get("stream", "") for line in error.build_log)
            raise BaseImageMissing(f"{kit.tag} could not be made.", "See what was printed.", log=log) from error
    return kit.tag


def _context(kit: Kit, trusted: tuple[str, ...]) -> IO[bytes]:
    """The build context: a Dockerfile, and the files as they are to lie in the image."""
    dockerfile = [f"FROM {kit.base_tag}", "COPY root /", f"RUN {_SETTLE}"]
    if trusted:
        dockerfile += [f"ENV {name}={certificates.BUNDLE}" for name in certificates.VARIABLES]
    texts = {"Dockerfile": "\n".join(dockerfile)} | {f"root/{name}": text for name, text in _FILES.items()}
    for number, pem in enumerate(trusted):
        texts[f"root{certificates.STORE}/here-{number}.crt"] = pem
    inside = f"root{PLACE}"
    files = {f"{inside}/wheels/{Path(name).name}": kit.folder / name for name in kit.about["build_wheels"]}
    for name in (*kit.about["build_debs"], kit.about["build_index"]):
        files[f"{inside}/debs/{Path(name).name}"] = kit.folder / name
    context = tempfile.TemporaryFile()  # noqa: SIM115 (whoever gets it closes it)
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, text in texts.items():
            tar.addfile(_member(name, len(text.encode())), io.BytesIO(text.encode()))
        for name, path in files.items():
            with path.open("rb") as file:
                tar.addfile(_member(name, path.stat().st_size), file)
    context.seek(0)
    return context


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member
