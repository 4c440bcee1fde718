"""What the lessons' builds install, fetched for a kit: Python packages, Debian packages, and the engine's packages."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import docker
from dockerlab import archives, labels
from dockerlab.engine import apt, portable, versions
from dockerlab.errors import LabError

from . import needs

WANTED = "/wanted"
"""The folder of the lists, in the container that fetches what builds install."""

GOT = "/got"

_ELSEWHERE = "--platform win_amd64 --platform macosx_11_0_arm64"

_FETCH = f"""\
set -e
mkdir -p {GOT}/wheels {GOT}/debs {GOT}/cache/partial
cd {WANTED}
for list in round-*.txt; do
    pip download --quiet --no-cache-dir --dest {GOT}/wheels --requirement $list || exit 11
done
for list in source-*.txt; do
    [ -e $list ] || continue
    pip download --quiet --no-cache-dir --no-deps --dest {GOT}/wheels --requirement $list || exit 12
done
pip install --quiet --no-index --find-links {GOT}/wheels uv || exit 16
for list in round-*.txt; do
    uv pip compile --quiet --universal --no-header --no-annotate --output-file locked-$list $list || exit 16
done
sed -n 's/^\\([^ =]*\\)==\\([^ ;]*\\).*/\\1 \\2/p' locked-*.txt | sort -u | while read -r name version; do
    file=$(echo $name | tr .- __)-$version
    for have in {GOT}/wheels/$file-* {GOT}/wheels/$file.*; do [ ! -e $have ] || continue 2; done
    pip download --quiet --no-cache-dir --no-deps --only-binary=:all: {_ELSEWHERE} --dest {GOT}/wheels \
        $name==$version || exit 16
done
apt-get update --quiet=2 || exit 13
apt-get install --quiet=2 --yes --download-only --no-install-recommends \
    -o Dir::Cache::archives={GOT}/cache -o APT::Sandbox::User=root -o APT::Keep-Downloaded-Packages=true \
    $(cat packages.txt) || exit 14
mv {GOT}/cache/*.deb {GOT}/debs/
ls {GOT}/debs > {GOT}/builds.txt
cd {GOT}/debs
apt-get download --quiet=2 -o APT::Sandbox::User=root $(cat {WANTED}/engine.txt) || exit 15
rm -rf {GOT}/cache /var/lib/apt/lists/*
. /etc/os-release
echo "$VERSION_CODENAME" > {GOT}/codename
"""
"""Fetch in the base image itself: what its own Python and its own apt choose is what builds will need.

A lock file for all systems (lesson 08) names packages that Linux never installs. To write it, uv reads what these say
of themselves, so a wheel of each is fetched, too: whichever system's there is.
"""

_PARTS = {
    11: "Python packages",
    12: "Python packages as source",
    13: "the lists of packages",
    14: "packages",
    15: "engine",
    16: "Python packages of other systems, for lock files",
}

BUILD_BACKENDS = ("flit_core<4", "setuptools", "wheel")
"""What packages that are built from source need while they are built."""


def fetch(client: docker.DockerClient, tag: str, texts: list[str], work: Path) -> dict[str, Any]:
    """Fetch in a container of the base image, and copy it out: no folder is shared with the engine.

    Args:
        client: of the engine.
        tag: the base image.
        texts: what the lessons are made of, as `needs.texts` has it.
        work: the folder that becomes the kit.

    Returns:
        The part of `kit.json` about these packages.

    Raises:
        LabError: something could not be fetched.
    """
    pins = needs.pins(texts)
    lists = {f"round-{number}.txt": pinned for number, pinned in enumerate(needs.rounds(pins))}
    for number, name in enumerate(sorted(needs.sources(texts))):
        lists[f"source-{number}.txt"] = [
            f"--no-binary {name}",
            *(pin for pin in sorted(pins) if pin.partition("==")[0] == name),
        ]
        # What its build needs by its pyproject.toml; the one that the lessons build needs these.
        lists["round-0.txt"] = [*lists["round-0.txt"], *BUILD_BACKENDS]
    lists["packages.txt"] = sorted(needs.packages(texts) | set(versions.HOST_PROGRAMS.values()))
    lists["engine.txt"] = list(versions.ENGINE_PACKAGES["debian"])
    container = client.containers.create(tag, ["sh", "-c", _FETCH], labels=labels.made_for("kit"))
    try:
        files = {f"{WANTED[1:]}/{name}": "".join(f"{line}\n" for line in lines) for name, lines in lists.items()}
        with archives.tar(files) as archive:
            container.put_archive("/", archive)
        container.start()
        if code := container.wait(timeout=900)["StatusCode"]:
            raise LabError(
                f"What builds install could not be fetched: {_PARTS.get(code, 'unknown')} (exit code {code}).",
                "Check that containers reach the package index and the mirror.",
                log="\n".join(container.logs().decode(errors="replace").strip().splitlines()[-12:]),
            )
        stream, _ = container.get_archive(GOT)
        with tempfile.TemporaryFile() as file:
            for chunk in stream:
                file.write(chunk)
            file.seek(0)
            with tarfile.open(fileobj=file) as tar:
                tar.extractall(work, filter="data")
    finally:
        container.remove(force=True)
    got = work / GOT[1:]
    codename = (got / "codename").read_text().strip()
    builds = (got / "builds.txt").read_text().split()
    shutil.move(got / "wheels", work / "wheels")
    (work / "debs").mkdir()
    place = f"debs/{codename}"
    shutil.move(got / "debs", work / place)
    shutil.rmtree(got)
    (work / place / "Packages").write_text(index(work / place, builds))
    engine = [path for name in versions.ENGINE_PACKAGES["debian"] for path in (work / place).glob(f"{name}_*.deb")]
    return {
        "codename": codename,
        "engine": [path.relative_to(work).as_posix() for path in engine],
        "build_debs": [f"{place}/{name}" for name in builds],
        "build_index": f"{place}/Packages",
        "build_wheels": sorted(f"wheels/{path.name}" for path in (work / "wheels").iterdir()),
    }


def index(folder: Path, names: Iterable[str]) -> str:
    """The `Packages` of a flat repository, as `dpkg-scanpackages` would write it."""
    entries = []
    for name in sorted(names):
        fields = apt.run(["dpkg-deb", "--field", str(folder / name)]).stdout.strip()
        size = (folder / name).stat().st_size
        entries.append(f"{fields}\nFilename: ./{name}\nSize: {size}\nSHA256: {portable.digest_of(folder / name)}\n")
    return "\n".join(entries)
