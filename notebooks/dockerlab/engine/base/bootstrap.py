"""A base image made from the distribution's own packages, for machines that reach no image registry.

It behaves as the official Python image does in the lessons: `python` and `pip` in /usr/local/bin, dash as `/bin/sh`, no
documentation, no caches, and an `apt-get` that works. It is a file system from mmdebstrap, imported as it is written.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import zstandard

from ... import folders, labels
from ...errors import BaseImageMissing, LabError
from .. import apt, certificates
from . import bundle

PACKAGES = ("python3", "python3-pip", "python3-venv", "ca-certificates")

ENVIRONMENT = {
    # The first two as the official image sets them.
    "PATH": "/usr/local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "PIP_ROOT_USER_ACTION": "ignore",
}

_DPKG_CONF = "force-unsafe-io\n" + "".join(
    f"path-exclude=/usr/share/{part}/*\n" for part in ("doc", "man", "locale", "info", "lintian", "doc-base")
)
"""As in Debian's own slim images: no waiting for the disk after each file, and no documentation, now and later."""

_SETUP = """\
set -e
mkdir -p "$1/etc/dpkg/dpkg.cfg.d" "$1/etc/apt/apt.conf.d" "$1/usr/local/share/ca-certificates"
cp "{work}/dpkg-conf" "$1/etc/dpkg/dpkg.cfg.d/docker"
cp "{work}/apt-conf" "$1/etc/apt/apt.conf.d/machine"
cp "{work}"/ca/* "$1/usr/local/share/ca-certificates/" 2>/dev/null || true
"""

_FINISH = """\
set -e
cd "$1"
rm -rf usr/share/doc/* usr/share/man/* usr/share/locale/* usr/share/info/* usr/share/lintian usr/share/doc-base
rm -rf var/log/* var/cache/ldconfig/* var/cache/debconf/*-old var/lib/dpkg/*-old
rm -f etc/resolv.conf etc/hostname usr/lib/python3*/EXTERNALLY-MANAGED
# pip will not replace what another package manager has installed: then `pip install --upgrade pip` works, too.
rm -rf usr/lib/python3/dist-packages/*.dist-info usr/lib/python3/dist-packages/*.egg-info
# As in the official image, `python` and `pip` are found in /usr/local/bin, and what pip installs names the same Python.
version=$(basename "$(readlink usr/bin/python3)")
mkdir -p "usr/local/lib/$version/dist-packages"
ln -s dist-packages "usr/local/lib/$version/site-packages"  # many a Dockerfile copies it from one stage to another
for name in python python3 "$version"; do ln -s "/usr/bin/$version" "usr/local/bin/$name"; done
for name in pip pip3; do
    sed "1s|.*|#!/usr/local/bin/$version|" usr/bin/pip3 > "usr/local/bin/$name"
    chmod 755 "usr/local/bin/$name"
done
# As in Debian's own images: installing a server does not start it, and packages are not kept.
printf '#!/bin/sh\\nexit 101\\n' > usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
printf 'APT::Keep-Downloaded-Packages "false";\nAcquire::Languages "none";\n' > etc/apt/apt.conf.d/docker-clean
"""


def make(client: docker.DockerClient, report: Callable[[str], None] = print) -> str:
    """Make the base image, or import it where its archive is in the cache. Return its tag.

    Args:
        client: of the engine that gets the image.
        report: is called with each line of progress.

    Raises:
        BaseImageMissing: it cannot be made on this machine, or for this engine.
    """
    try:
        source = apt.machine_source()
        _refuse_foreign(client)
        tag = f"{labels.BASE_REPOSITORY}:{source.codename}"
        trusted = certificates.of_this_machine()
        name = f"{source.codename}-{platform.machine()}-{_recipe(source, trusted)}.tar.zst"
        archive = folders.cached("base") / name
        if archive.exists():
            report(f"Base image: {tag} is imported from {archive}.")
            _import(client, tag, bundle.unpacked(archive), trusted)
        else:
            if not apt.program("mmdebstrap"):
                report(
                    "Making the base image needs mmdebstrap on this machine: installed with apt, from its own sources."
                )
                apt.install_on_host(["mmdebstrap"])
            report(
                f"Base image: {tag} is made from {source.name}'s packages, at this machine's mirror: about 35 MB are "
                f"fetched, 130 MB kept on the engine and 45 MB in {archive.parent}; "
                "`dockerlab clean --everything` removes it."
            )
            _import(client, tag, _packed(source, trusted, archive), trusted)
    except BaseImageMissing:
        raise
    except LabError as error:
        raise BaseImageMissing(error.seen, error.do, log=error.log) from error
    return tag


def _refuse_foreign(client: docker.DockerClient) -> None:
    ours = apt.run(["dpkg", "--print-architecture"]).stdout.strip()
    if (theirs := client.version().get("Arch", ours)) != ours:
        raise BaseImageMissing(
            f"This machine ({ours}) cannot make a base image for the engine's processor ({theirs}).",
            "Give the engine access to a registry, or set DOCKERLAB_BUNDLE to an archive saved with `docker save`.",
        )


def _recipe(source: apt.AptSource, trusted: tuple[str, ...]) -> str:
    """Changes with all that goes into the image, so that an archive made from something else is not taken."""
    ingredients = [*source.lines, *PACKAGES, _SETUP, _FINISH, _DPKG_CONF, _apt_conf(), *trusted]
    return certificates.digest(ingredients)


def _apt_conf() -> str:
    """How the machine reaches its mirror, for `apt-get` in containers, too."""
    return "".join(f"{line}\n" for line in apt.machine_options())


def _packed(source: apt.AptSource, trusted: tuple[str, ...], archive: Path) -> Iterator[bytes]:
    """The file system as a tar stream, while it is packed; a compressed copy is kept as `archive` once it is whole."""
    with folders.temporary(archive.parent, "work-") as work:
        work.chmod(0o755)  # apt's own user reads it
        (work / "ca").mkdir()
        for number, pem in enumerate(trusted):
            (work / "ca" / f"dockerlab-{number}.crt").write_text(pem)
        (work / "dpkg-conf").write_text(_DPKG_CONF)
        (work / "apt-conf").write_text(_apt_conf())
        command = [
            *("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "--format=tar"),
            *(f"--setup-hook={_SETUP.format(work=work)}", f"--customize-hook={_FINISH}"),
            *(source.codename, "-", *source.lines),
        ]
        partial = work / "partial.tar.zst"
        log = work / "log"
        with (
            log.open("wb") as errors,
            zstandard.open(partial, "wb", cctx=zstandard.ZstdCompressor(level=3, threads=-1)) as kept,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=apt.environment({"TMPDIR": str(work)}),
            ) as making,
        ):
            assert making.stdout
            try:
                while chunk := making.stdout.read(1 << 20):
                    kept.write(chunk)
                    yield chunk
            except BaseException:
                making.terminate()
                raise
        if making.returncode:
            tail = "\n".join(log.read_text(errors="replace").strip().splitlines()[-12:])
            raise BaseImageMissing(
                f"mmdebstrap could not make the base image (exit code {making.returncode}).",
                "Check that this machine reaches its own mirror (`apt-get update`), or set DOCKERLAB_BUNDLE to an "
                "archive of the image.",
                log=tail,
            )
        partial.rename(archive)


def _import(client: docker.DockerClient, tag: str, stream: Iterator[bytes], trusted: tuple[str, ...]) -> None:
    environment = ENVIRONMENT | (certificates.ENVIRONMENT if trusted else {})
    changes = [f"ENV {name}={value}" for name, value in environment.items()]
    changes += ['CMD ["python3"]', f"LABEL {labels.BASE}=1"]
    answer = client.api.import_image(src=stream, repository=tag, changes=changes, stream_src=True)
    for line in answer.splitlines():
        if problem := json.loads(line).get("error"):
            raise BaseImageMissing(f"The engine did not take the base image: {problem}.", "Look at its log.")
