"""The embedded engine's packages: fetched from this machine's mirror or taken from a kit, and unpacked."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ... import folders
from ...errors import EngineMissing
from .. import apt, endpoints, versions
from .. import kit as kits
from .engine_folder import EngineFolder, locked


def fetch(report: Callable[[str], None] = print) -> None:
    """Fetch and unpack the engine's packages, where they are not yet there.

    Raises:
        EngineMissing: there are none for this system.
        LabError: the mirror does not answer, or the disk is full.
    """
    with locked() as here:
        fetch_into(here, report)


def fetch_into(here: EngineFolder, report: Callable[[str], None]) -> None:
    """`fetch`, for a caller that holds the lock already."""
    if here.complete.exists():
        return
    if kit := kits.find():
        kit.check()
        report(f"No Docker engine was found. The lab unpacks the one in the kit {kit.folder} into {here.home}.")
        folders.cached("engine")
        with folders.temporary(here.home, "fetch-") as work:
            _unpack(here, kit.engine_debs, work / "packages")
        return
    try:
        source = apt.machine_source()
    except apt.NoSource as error:
        do = f"{error.do} Or install" if error.do else "Install"
        do += " Docker Engine with your distribution's packages, and start it."
        raise EngineMissing(f"No Docker engine was found, and the lab cannot fetch one. {error.seen}", do) from error
    packages = versions.ENGINE_PACKAGES[source.family]
    folders.cached("engine")
    with folders.temporary(here.home, "fetch-") as work:
        debs = work / "debs"
        state = apt.AptState(work / "apt", source.lines)
        state.update()
        sizes = state.sizes(packages)
        report(
            f"No Docker engine was found. The lab fetches its own from {source.name}, at this machine's mirror: "
            f"{', '.join(packages)}; {sum(sizes.values()) / 1e6:.0f} MB, unpacked about four times that, in "
            f"{here.home}. None of it is installed; `dockerlab engine remove` deletes it."
        )
        state.download(packages, debs)
        _unpack(here, [debs / name for name in sizes], work / "packages")


def _unpack(here: EngineFolder, debs: list[Path], into: Path) -> None:
    """Unpack packages into a folder beside theirs, and rename it: a folder of that name is always complete."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        unpacking = [pool.submit(apt.run, ["dpkg-deb", "-x", str(deb), str(into)]) for deb in debs]
        for job in unpacking:
            job.result()
    # A configuration folder in which the docker CLI finds the unpacked buildx and compose.
    plugins = into / "docker-config" / "cli-plugins"
    plugins.mkdir(parents=True)
    for plugin in into.glob("usr/libexec/docker/cli-plugins/docker-*"):
        (plugins / plugin.name).symlink_to(here.packages / plugin.relative_to(into))
    (into / here.complete.name).write_text("".join(f"{name}\n" for name in sorted(deb.name for deb in debs)))
    if folders.is_ours(here.home):
        shutil.rmtree(here.packages, ignore_errors=True)
    into.rename(here.packages)


def cli_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """PATH and DOCKER_CONFIG with which the unpacked docker CLI is found; nothing where there is none."""
    here = EngineFolder.default()
    if not here.complete.exists():
        return {}
    config = here.packages / "docker-config"
    _link_settings(endpoints.docker_config(environ, Path.home()) / "config.json", config / "config.json")
    path = os.pathsep.join([here.path, environ.get("PATH", os.defpath)])
    once = dict.fromkeys(path.split(os.pathsep))  # a child of ours has our folders in it already
    return {"PATH": os.pathsep.join(once), "DOCKER_CONFIG": str(config)}


def _link_settings(users: Path, ours: Path) -> None:
    """Have the unpacked docker CLI read the user's settings, with their credentials for registries: by a link."""
    with contextlib.suppress(OSError):  # a folder that cannot be written has its link, or none
        users = users.absolute()
        if users == ours or (ours.exists() and not ours.is_symlink()):
            return
        if not users.is_file():
            ours.unlink(missing_ok=True)
        elif not ours.is_symlink() or ours.readlink() != users:
            with tempfile.TemporaryDirectory(dir=ours.parent) as folder:
                link = Path(folder) / ours.name
                link.symlink_to(users)
                link.replace(ours)


def ensure_host_programs(report: Callable[[str], None]) -> None:
    """Install on this machine what the engine needs from it, where it is missing.

    Raises:
        EngineMissing: the kit does not have it for this machine's release.
        LabError: apt could not install it.
    """
    wanted = [package for program, package in versions.HOST_PROGRAMS.items() if not apt.program(program)]
    if not wanted:
        return
    needs = f"The engine needs {' and '.join(wanted)} on this machine"
    if not (kit := kits.find()):
        report(f"{needs}: installed with apt, from its own sources.")
        apt.install_on_host(wanted)
        return
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    repository = kit.host_repository(codename)
    if not repository:
        raise EngineMissing(
            f"{needs}, and the kit has them for {' and '.join(kit.about['host']) or 'no release'}, not for {codename}.",
            f"Install them from your own mirror, `apt-get install {' '.join(wanted)}`, and try again.",
        )
    kit.check()
    report(f"{needs}: installed with apt, from the kit.")
    apt.install_on_host(wanted, repository)
