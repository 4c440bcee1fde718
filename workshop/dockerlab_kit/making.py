"""A kit, made on a machine that has a network, an engine and a base image: all that the lab would fetch."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import zstandard
from dockerlab import folders
from dockerlab.engine import engine_errors, kit, portable
from dockerlab.engine.base import base_image
from dockerlab.errors import LabError

from . import build_packages, host_packages, lab_packages, lab_source, needs, readme


def make(
    folder: Path, client: docker.DockerClient, report: Callable[[str], None] = print, pythons: Sequence[str] = ()
) -> dict[str, Any]:
    """Write a kit for this machine's processor and Python. Return the content of its `kit.json`.

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
            about = _fill(work, client, report, list(dict.fromkeys([lab_packages.OWN_PYTHON, *pythons])))
            work.chmod(0o755)
            _refuse_other(folder)  # it took minutes: somebody may have put something there
            if folder.exists():
                shutil.rmtree(folder)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    size = sum(about["files"].values())
    seconds = time.monotonic() - began
    report(f"{folder}: {size / 1e6:.0f} MB in {seconds:.0f} s. Its seal is {portable.short_digest(folder)}.")
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
            raise LabError(
                f"{folder} holds {name}, which does not belong to a kit.", "Name another folder, or remove that one."
            )


def _fill(work: Path, client: docker.DockerClient, report: Callable[[str], None], pythons: list[str]) -> dict[str, Any]:
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
    got = build_packages.fetch(client, base.tag, list(needs.texts(root)), work)
    report("3 of 5: the lab's own Python packages.")
    lab_packages.fetch(root, work / "wheels", pythons)
    report("4 of 5: what the engine needs from the machine itself.")
    host, left_out = host_packages.fetch(work)
    report("5 of 5: the lab, and the checksums.")
    lab_source.pack(root, work / "lab.tar.gz")
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
    write_checksums(work, about)
    return about


def write_checksums(work: Path, about: dict[str, Any]) -> None:
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
