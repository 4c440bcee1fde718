"""What the engine needs from the machine itself, fetched for a kit."""

from __future__ import annotations

import platform
import shutil
import tempfile
from pathlib import Path

from dockerlab.engine import apt, versions
from dockerlab.errors import LabError

from . import build_packages

ALWAYS_THERE = ("libc6", "perl-base", "debconf", "dpkg", "tar", "install-info")
"""Each Debian has these; a kit need not carry them for what it installs on the machine itself."""


def fetch(work: Path) -> tuple[dict[str, str], list[str]]:
    """The programs that the engine takes from its machine, for the releases that this machine's mirror has.

    Returns:
        The folder for each release, and what could not be had.
    """
    left_out = []
    try:
        source = apt.machine_source()
    except LabError as error:
        return {}, [f"iptables and runc for a machine that lacks them: {error.seen}"]
    if source.family == "debian":
        releases = list(versions.DEBIAN.values())
        left_out.append(
            "iptables and runc for Ubuntu: this machine's mirror has Debian only. Make the kit on an Ubuntu for that"
        )
    else:
        releases = [platform.freedesktop_os_release()["VERSION_CODENAME"]]
    host = {}
    for release in releases:
        lines = [line.replace(source.codename, release) for line in source.lines]
        place = f"debs/host-{release}"
        (work / place).mkdir(parents=True)
        with tempfile.TemporaryDirectory() as folder:
            state = apt.AptState(Path(folder), lines)
            try:
                state.update()
                fetched = state.closure(versions.HOST_PROGRAMS.values(), ALWAYS_THERE)
            except LabError as error:
                left_out.append(f"iptables and runc for {release}: {error.seen}")
                continue
            for path in fetched:
                shutil.move(path, work / place / path.name)
        names = [path.name for path in fetched]
        (work / place / "Packages").write_text(build_packages.index(work / place, names))
        host[release] = place
    return host, left_out
