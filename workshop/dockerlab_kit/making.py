"""A kit, made on a machine that has a network, an engine and a base image: all that the lab would fetch."""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import zstandard
from dockerlab import folders, labels
from dockerlab.engine import apt, certificates, engine_errors, kit, portable
from dockerlab.engine.base import base_image
from dockerlab.engine.own import embedded
from dockerlab.errors import LabError
from packaging.requirements import Requirement

from . import needs, readme

Report = Callable[[str], None]

WANTED = "/wanted"
"""The folder of the lists, in the container that fetches what builds install."""

GOT = "/got"

OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

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
cp /etc/os-release {GOT}/os-release
"""
"""Fetch in the base image itself: what its own Python and its own apt choose is what builds will ask for.

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

ALWAYS_THERE = ("libc6", "perl-base", "debconf", "dpkg", "tar", "install-info")
"""Each Debian has these; a kit need not carry them for what it installs on the machine itself."""


def make(
    folder: Path, client: docker.DockerClient, report: Report = print, pythons: Sequence[str] = ()
) -> dict[str, Any]:
    """Write a kit for this machine's processor and Python. Return what it tells of itself.

    Args:
        folder: what is to become the kit; an earlier kit there is replaced once the new one is whole.
        client: of an engine that reaches a package index and a mirror from its containers.
        report: is called with each line of progress.
        pythons: further versions of Python that participants have: ``3.13``. Each adds about 60 MB.

    Raises:
        LabError: the folder holds something else, or a part could not be had; nothing is left then.
    """
    _refuse_other(folder)
    began = time.monotonic()
    with engine_errors.explained("", "while the kit was made", "Start it again, and make the kit again."):
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            about = _fill(work, client, report, [OWN_PYTHON, *(one for one in pythons if one != OWN_PYTHON)])
            work.chmod(0o755)
            _refuse_other(folder)  # it took minutes: somebody may have put something there
            if folder.exists():
                shutil.rmtree(folder)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    size = sum(about["files"].values())
    report(f"{folder}: {size / 1e6:.0f} MB in {time.monotonic() - began:.0f} s. Its seal is {portable.seal(folder)}.")
    for missing in about["left_out"]:
        report(f"Not in it: {missing}")
    return about


def _refuse_other(folder: Path) -> None:
    """Refuse a folder that holds anything but the files of a kit, as its checksums name them."""
    if folder.exists() and not folder.is_dir():
        raise LabError(f"{folder} is a file.", "Name the folder that is to become the kit.")
    known = {portable.SUMS}
    with contextlib.suppress(OSError, ValueError, portable.Refused):
        known |= portable.parse((folder / portable.SUMS).read_text()).keys()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in known and (path.is_symlink() or not path.is_dir()):
            raise LabError(f"{folder} holds {name}, which is of no kit.", "Name another folder, or remove that one.")


def _fill(work: Path, client: docker.DockerClient, report: Report, pythons: list[str]) -> dict[str, Any]:
    root = folders.NOTEBOOKS.parent
    arch = client.version()["Arch"]
    own = portable.ARCHITECTURES.get(platform.machine().lower(), platform.machine())
    if arch != own:
        raise LabError(f"The engine is {arch}, and this machine is {own}.", "Make the kit where both are the same.")
    with _without_kit():
        base = base_image.ensure(client, report)
    report(f"1 of 5: the base image {base.tag}.")
    _save(client, base.tag, work / "base.tar.zst")
    report("2 of 5: what lessons install in builds: Python packages, Debian packages; and the engine's packages.")
    texts = list(needs.texts(root))
    got = _fetch_for_builds(client, base.tag, texts, work)
    report("3 of 5: the lab's own Python packages.")
    _fetch_for_lab(root, work / "wheels", pythons)
    report("4 of 5: what the engine needs from the machine itself.")
    host, left_out = _fetch_for_host(work)
    report("5 of 5: the lab, and the checksums.")
    pack_lab(root, work / "lab.tar.gz")
    about: dict[str, Any] = {
        "format": portable.FORMAT,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "arch": arch,
        "python": pythons,
        "base": {"file": "base.tar.zst", "tag": base.tag},
        **got,
        "host": host,
        "left_out": [
            *left_out,
            f"{'arm64' if arch == 'amd64' else 'amd64'}: its image and packages are made on such a machine",
            "what only `make prove` asks for: the projects that it audits, and Traefik",
            "files for other systems: a lock file that is made with the kit has the hashes of the kit's files only",
            "a browser: its tests need a Chromium of the machine's own",
        ],
    }
    (work / "README.md").write_text(readme.page(about))
    seal(work, about)
    return about


def seal(work: Path, about: dict[str, Any]) -> None:
    """Write `kit.json` with the size of each file, and `SHA256SUMS` over all of them."""
    files = sorted(
        path for path in work.rglob("*") if path.is_file() and path.name not in {portable.SUMS, portable.ABOUT}
    )
    about["files"] = {path.relative_to(work).as_posix(): path.stat().st_size for path in files}
    (work / portable.ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    names = [portable.ABOUT, *about["files"]]
    lines = [f"{portable.digest_of(work / name)}  {name}\n" for name in names]
    (work / portable.SUMS).write_text("".join(lines))
    for path in work.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


@contextlib.contextmanager
def _without_kit() -> Iterator[None]:
    """A kit is made from what the network has, and not from another kit."""
    before = os.environ.get(kit.VARIABLE)
    os.environ[kit.VARIABLE] = ""
    try:
        yield
    finally:
        if before is None:
            del os.environ[kit.VARIABLE]
        else:
            os.environ[kit.VARIABLE] = before


def _save(client: docker.DockerClient, tag: str, archive: Path) -> None:
    """The image as `docker save` writes it, in zstd; the lab unpacks it for engines before 23, which cannot."""
    with zstandard.open(archive, "wb", cctx=zstandard.ZstdCompressor(level=15, threads=-1)) as packed:
        for chunk in client.images.get(tag).save(named=tag):
            packed.write(chunk)


# --- what builds install ----------------------------------------------------------------------------------------------


def _fetch_for_builds(client: docker.DockerClient, tag: str, texts: list[str], work: Path) -> dict[str, Any]:
    """Fetch in a container of the base image, and copy it out: no folder is shared with the engine."""
    pins = needs.pins(texts)
    lists = {f"round-{number}.txt": pinned for number, pinned in enumerate(needs.rounds(pins))}
    for number, name in enumerate(sorted(needs.sources(texts))):
        lists[f"source-{number}.txt"] = [
            f"--no-binary {name}",
            *(pin for pin in sorted(pins) if pin.partition("==")[0] == name),
        ]
        # What a build of it asks for, as its pyproject.toml says; the one that the lessons build needs this.
        lists["round-0.txt"] = [*lists["round-0.txt"], *BUILD_BACKENDS]
    lists["packages.txt"] = sorted(needs.packages(texts) | {"iptables", "runc"})
    lists["engine.txt"] = list(embedded.PACKAGES["debian"])
    # Should we be killed meanwhile, the next sweep removes the container.
    own = {labels.LAB: "kit", labels.OWNER: str(labels.Owner.current())}
    container = client.containers.create(tag, ["sh", "-c", _FETCH], labels=own)
    try:
        container.put_archive("/", _tar({f"{WANTED[1:]}/{name}": "\n".join(lines) for name, lines in lists.items()}))
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
    system = apt.parse_os_release((got / "os-release").read_text())
    builds = (got / "builds.txt").read_text().split()
    shutil.move(got / "wheels", work / "wheels")
    (work / "debs").mkdir()
    place = f"debs/{system['VERSION_CODENAME']}"
    shutil.move(got / "debs", work / place)
    shutil.rmtree(got)
    (work / place / "Packages").write_text(_index(work / place, builds))
    engine = [path for name in embedded.PACKAGES["debian"] for path in (work / place).glob(f"{name}_*.deb")]
    return {
        "codename": system["VERSION_CODENAME"],
        "engine": [path.relative_to(work).as_posix() for path in engine],
        "build_debs": [f"{place}/{name}" for name in builds],
        "build_index": f"{place}/Packages",
        "build_wheels": sorted(f"wheels/{path.name}" for path in (work / "wheels").iterdir()),
    }


BUILD_BACKENDS = ("flit_core<4", "setuptools", "wheel")
"""What packages that are built from source ask for while they are built."""


def _index(folder: Path, names: Iterable[str]) -> str:
    """The `Packages` of a flat repository, as `dpkg-scanpackages` would write it."""
    entries = []
    for name in sorted(names):
        fields = apt.run(["dpkg-deb", "--field", str(folder / name)]).stdout.strip()
        size = (folder / name).stat().st_size
        entries.append(f"{fields}\nFilename: ./{name}\nSize: {size}\nSHA256: {portable.digest_of(folder / name)}\n")
    return "\n".join(entries)


def _tar(files: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            content = f"{text}\n".encode()
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


# --- what the lab itself needs ----------------------------------------------------------------------------------------


def requirements(root: Path, python: str) -> list[str]:
    """What `.venv` is made of: the pins for a Python, what builds `dockerlab` itself, and the installers."""
    environment = {"python_version": python, "python_full_version": f"{python}.99"}
    wanted = []
    for line in (root / "requirements.txt").read_text().splitlines():
        if line and not line.startswith(("#", "-")):
            requirement = Requirement(line)
            if not requirement.marker or requirement.marker.evaluate(environment):
                requirement.marker = None
                wanted.append(str(requirement))
    build = tomllib.loads((root / "pyproject.toml").read_text())["build-system"]["requires"]
    makefile = (root / "Makefile").read_text()
    uv = next(line.partition(":=")[2].strip() for line in makefile.splitlines() if line.startswith("UV :="))
    return [*wanted, *build, "editables~=0.5", f"uv=={uv}", "pip"]


def _fetch_for_lab(root: Path, wheels: Path, pythons: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        pip = _pip(Path(folder), environ)
        for python in pythons:
            wanted = Path(folder) / f"requirements-{python}.txt"
            wanted.write_text("\n".join(requirements(root, python)) + "\n")
            download = [
                "download",
                "--quiet",
                "--only-binary=:all:",
                "--dest",
                str(wheels),
                "--requirement",
                str(wanted),
            ]
            if python != OWN_PYTHON:
                # The pins name all that there is, so nothing has to be resolved for a Python that is not here.
                download += ["--no-deps", "--python-version", python, *(f"--platform={name}" for name in _platforms())]
            apt.run([*pip, *download], environ=environ)


def _platforms() -> list[str]:
    """What wheels for this processor are tagged with, the newest first (PEP 600; Debian 12 has glibc 2.36)."""
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 4, -1)]
    return [*tags, f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}", f"linux_{machine}"]


def _pip(folder: Path, environ: dict[str, str]) -> list[str]:
    """A pip that works for this Python: its own, else one that uv fetches, else that of the Python below this one."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    beside = Path(sys.executable).with_name("uv")
    if uv := str(beside) if beside.exists() else shutil.which("uv"):
        install = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder / "pip"), "pip"]
        apt.run(install, environ={**certificates.UV, **environ})
        environ["PYTHONPATH"] = str(folder / "pip")
        return [sys.executable, "-m", "pip"]
    return [str(Path(sys.base_prefix) / "bin" / "python3"), "-m", "pip", "--python", sys.executable]


def lab_files(root: Path) -> list[str]:
    """The files of the repository that git tracks; without git, all that no tool made."""
    command = ["git", "-C", str(root), "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return sorted(name for name in listed.stdout.split("\0") if name and (root / name).is_file())
    made = {".venv", "__pycache__", "workspace", ".ipynb_checkpoints", ".pytest_cache", ".ruff_cache"}
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(
        path.as_posix()
        for path in files
        if not made & set(path.parts) and path.parts[0] != "kit" and not path.parts[0].startswith("dockerlab-kit-")
    )


def pack_lab(root: Path, archive: Path) -> None:
    """The repository as a clone has it."""
    with tarfile.open(archive, "w:gz") as tar:
        for name in lab_files(root):
            tar.add(root / name, f"dockerlab/{name}", recursive=False)


# --- what the engine needs from the machine ---------------------------------------------------------------------------


def _fetch_for_host(work: Path) -> tuple[dict[str, str], list[str]]:
    """The programs that the engine takes from its machine, for the releases that this machine's mirror has.

    Returns:
        The folder for each release, and what could not be had.
    """
    left_out = []
    try:
        source = apt.machine_source()
    except LabError as error:
        return {}, [f"iptables and runc for a machine that lacks them: {error.seen}"]
    system = apt.parse_os_release(Path("/etc/os-release").read_text())
    releases = ["bookworm", "trixie"] if source.family == "debian" else [system["VERSION_CODENAME"]]
    if source.family == "debian":
        left_out.append(
            "iptables and runc for Ubuntu: this machine's mirror has Debian only. Make the kit on an Ubuntu for that"
        )
    host = {}
    for release in releases:
        lines = [line.replace(source.codename, release) for line in source.lines]
        place = f"debs/host-{release}"
        (work / place).mkdir(parents=True)
        with tempfile.TemporaryDirectory() as folder:
            state = apt.State(Path(folder), lines)
            try:
                state.update()
                fetched = state.closure(embedded.HOST_PROGRAMS.values(), ALWAYS_THERE)
            except LabError as error:
                left_out.append(f"iptables and runc for {release}: {error.seen}")
                continue
            for path in fetched:
                shutil.move(path, work / place / path.name)
        (work / place / "Packages").write_text(_index(work / place, [path.name for path in (work / place).iterdir()]))
        host[release] = place
    return host, left_out
