"""The base image with a kit's packages inside, so that `pip install` and `apt-get install` in builds need no network.

The packages are in the image, and its pip, uv and apt are set up to look there and nowhere else. No server has to run,
and the Dockerfiles of the lessons stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import APIError

from ...errors import BaseImageMissing
from .. import certificates
from ..kit import PLACE, Kit
from . import bundle, images

_FILES = {
    "etc/pip.conf": f"[global]\nno-index = true\nfind-links = {PLACE}/wheels\ndisable-pip-version-check = true\n",
    "etc/uv/uv.toml": f'no-index = true\nfind-links = ["{PLACE}/wheels"]\n',
    # The checksums of the kit cover these packages; only an archive's owner could sign their index.
    "etc/apt/sources.list.d/kit.list": f"deb [trusted=yes] file:{PLACE}/debs ./\n",
}

_FORGET_ORIGIN = """\
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/apt.conf.d/machine \
/usr/local/share/ca-certificates/dockerlab-*.crt && update-ca-certificates --fresh >/dev/null"""
"""The mirror, the proxy and the authorities of the machine that made the kit are not this machine's."""


def load(client: docker.DockerClient, kit: Kit, report: Callable[[str], None] = print) -> str:
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
    if not images.image_id(client, kit.base_tag):
        report(f"Base image: loading {kit.base_archive}.")
        try:
            for _ in bundle.load_archive(client, kit.base_archive):
                pass
            client.images.get(kit.base_tag)
        except APIError as error:  # or the archive has no such image
            raise BaseImageMissing(f"The engine did not take {kit.base_archive}.", "See its log.") from error
    report(f"Base image: {kit.tag} is made from {kit.base_tag} and the kit's packages.")
    context = _context(kit, certificates.of_this_machine())
    images.derive(client, kit.tag, context, failed=f"{kit.tag} could not be made.", network_mode="none")
    return kit.tag


def _context(kit: Kit, trusted: tuple[str, ...]) -> dict[str, str | bytes | Path]:
    """The build context: a Dockerfile, and in `root` the files by their paths in the image."""
    dockerfile = [f"FROM {kit.base_tag}", "COPY root /", f"RUN {_FORGET_ORIGIN}"]
    if trusted:
        dockerfile += [f"ENV {name}={file}" for name, file in certificates.ENVIRONMENT.items()]
    context: dict[str, str | bytes | Path] = {"Dockerfile": "\n".join(dockerfile)}
    context |= {f"root/{name}": text for name, text in _FILES.items()}
    context |= {f"root{certificates.STORE}/here-{number}.crt": pem for number, pem in enumerate(trusted)}
    for folder, names in (
        ("wheels", kit.about["build_wheels"]),
        ("debs", [*kit.about["build_debs"], kit.about["build_index"]]),
    ):
        context |= {f"root{PLACE}/{folder}/{Path(name).name}": kit.folder / name for name in names}
    return context
