"""Packages from the mirror that this machine is set up with, and an apt state of our own to fetch them with.

The machine's sources, package lists and preferences are read and never changed. No host is named here: the mirror, the
proxy and the keyring are the machine's.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from ..errors import LabError
from . import versions

# Without the release files: a machine whose lists were never fetched knows its mirror all the same.
_TARGETS = ["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)"]


class NoSource(LabError):
    """This machine has no packages that the lab could fetch."""


@dataclass(frozen=True)
class AptSource:
    """The distribution that packages are fetched from, at this machine's own mirror.

    Attributes:
        family: ``debian`` or ``ubuntu``.
        codename: the release to fetch from: ``trixie``; on Ubuntu the machine's own.
        mirror: the URI of the archive.
        security: the URI of the archive of security updates, or "" where the machine has none.
    """

    family: str
    codename: str
    mirror: str
    security: str

    @property
    def name(self) -> str:
        return f"{self.family.capitalize()} {self.codename}"

    @property
    def lines(self) -> list[str]:
        """The sources, a line each, as in `sources.list`, with the distribution's keys for their signatures."""
        keyring = f"/usr/share/keyrings/{self.family}-archive-keyring.gpg"
        components = "main" if self.family == "debian" else "main universe"
        pockets = [(self.mirror, self.codename), (self.mirror, f"{self.codename}-updates")]
        if self.security:
            pockets.append((self.security, f"{self.codename}-security"))
        return [f"deb [signed-by={keyring}] {uri} {suite} {components}" for uri, suite in pockets]


def machine_source() -> AptSource:
    """The source to fetch from on this machine: the newest of `versions.DEBIAN` on Debian, on Ubuntu its own release.

    Raises:
        NoSource: the machine is neither, is too old, or has no mirror of its own distribution.
    """
    targets = run(_TARGETS).stdout  # first: without apt there is nothing to choose from
    return choose_source(platform.freedesktop_os_release(), targets)


def choose_source(os_release: Mapping[str, str], targets: str) -> AptSource:
    """The source for a machine with this `os-release` and these targets of apt (`apt-get indextargets`).

    Args:
        os_release: the fields of `/etc/os-release`.
        targets: lines of ``URI|suite as the sources name it|component``.

    Raises:
        NoSource: the machine is neither Debian nor Ubuntu, is too old, or names no mirror of its distribution.
    """
    names = [os_release.get("ID", ""), *os_release.get("ID_LIKE", "").split()]
    family = next((name for name in names if name in versions.OLDEST_SYSTEM), "")
    if "ubuntu" in names:
        family = "ubuntu"  # derivatives of Ubuntu call themselves like both
    if not family:
        raise NoSource(f"The lab knows no packages for {os_release.get('PRETTY_NAME', 'this system')}.")
    own = os_release.get(f"{family.upper()}_CODENAME") or os_release.get("VERSION_CODENAME", "")
    _refuse_old(family, os_release)
    # Sources may name a suite in place of the release.
    releases = {own, "stable", "oldstable", "testing"} if family == "debian" else {own}
    pockets: dict[str, set[str]] = {}
    for line in targets.splitlines():
        uri, release, component = line.split("|")
        if component == "main":
            pockets.setdefault(uri.rstrip("/"), set()).add(release.rstrip("/"))
    security = [uri for uri, found in pockets.items() if found & {f"{release}-security" for release in releases}]
    mirrors = [uri for uri, found in pockets.items() if found & releases]
    if not mirrors:
        raise NoSource(
            f"apt on this machine has no source for {family.capitalize()} {own or '?'}.",
            "Add the distribution's own mirror to /etc/apt/sources.list.d.",
        )

    def likeness(uri: str) -> tuple[bool, bool]:
        """Others name their suites after a release, too; the distribution's own mirror has its updates beside it."""
        updates = {f"{release}-updates" for release in releases}
        return bool(pockets[uri] & updates), family in uri.rsplit("/", 1)[-1]

    return AptSource(
        family=family,
        codename=versions.DEBIAN[max(versions.DEBIAN)] if family == "debian" else own,
        mirror=resolve_mirror(max(mirrors, key=likeness)),
        security=resolve_mirror(max(security, key=likeness)) if security else "",
    )


def _refuse_old(family: str, os_release: Mapping[str, str]) -> None:
    if os_release.get("ID") != family:
        return  # a derivative counts its own versions
    try:
        version = float(os_release.get("VERSION_ID", "99"))
    except ValueError:
        return
    if version < versions.OLDEST_SYSTEM[family]:
        raise NoSource(
            f"{os_release.get('PRETTY_NAME', family)} is too old for the packages that the lab uses.",
            f"Use {family.capitalize()} {versions.OLDEST_SYSTEM[family]} or later.",
        )


def resolve_mirror(uri: str) -> str:
    """The URI itself; of a list of mirrors in a file (``mirror+file:…``, as cloud images have it), the first."""
    uri = uri.rstrip("/")
    if not uri.startswith("mirror+file:"):
        return uri
    path = Path(re.sub(r"^mirror\+file:(//)?", "", uri))
    lines = [line.split()[0] for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return lines[0].rstrip("/")


# --- an apt state of our own -----------------------------------------------------------------------------------------


def machine_options() -> list[str]:
    """The machine's settings for how to reach a mirror: its proxies, its own certificates, its clock checks."""
    kept = re.compile(r"^Acquire::(https?::|Check-|Retries|ForceIP|Max-FutureTime)")
    return [line for line in run(["apt-config", "dump", "Acquire"]).stdout.splitlines() if kept.match(line)]


class AptState:
    """An apt whose state is in a folder of ours: its own sources, lists and cache, and no packages installed.

    Args:
        folder: where it is kept.
        sources: as in `sources.list`, a line each.
    """

    def __init__(self, folder: Path, sources: Iterable[str]) -> None:
        self.folder = folder
        for part in ("lists/partial", "cache/archives/partial", "preferences.d"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "sources.list").write_text("".join(f"{line}\n" for line in sources))
        (folder / "status").touch()
        settings = {
            "Dir::Etc::Parts": folder / "none",  # the machine's hooks run on the machine's own updates only
            "Dir::Etc::Main": folder / "none",
            "Dir::Etc::SourceList": folder / "sources.list",
            "Dir::Etc::SourceParts": folder / "none",
            "Dir::Etc::Preferences": folder / "none",
            "Dir::Etc::PreferencesParts": folder / "preferences.d",
            "Dir::State::Lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "APT::Sandbox::User": "root",  # apt's own user may not enter the cache folder of root
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
        }
        lines = [f'{name} "{value}";' for name, value in settings.items()] + machine_options()
        (folder / "apt.conf").write_text("\n".join(lines) + "\n")
        self.environ = environment({"APT_CONFIG": str(folder / "apt.conf")})

    def update(self) -> None:
        """Fetch the lists, and check their signatures.

        Raises:
            LabError: the mirror does not answer, does not have the release, or its signature cannot be checked.
        """
        result = run(["apt-get", "update", "-q"], environ=self.environ, check=False)
        complaints = [line for line in (result.stdout + result.stderr).splitlines() if line[:2] in {"E:", "W:"}]
        # apt calls a mirror that cannot be reached a warning, and goes on with what it has: an old list, or none.
        if result.returncode or any("Failed to fetch" in line or "NO_PUBKEY" in line for line in complaints):
            if any("NO_PUBKEY" in line for line in complaints):
                do = "Update its keys: `apt-get update && apt-get install debian-archive-keyring`."
            else:
                do = "Check that the machine reaches its own mirror: `apt-get update`."
            raise LabError("This machine's mirror gave no usable package lists.", do, log="\n".join(complaints))

    def sizes(self, packages: Iterable[str]) -> dict[str, int]:
        """What is to be fetched for these packages: file names, and their size in bytes.

        Raises:
            LabError: the mirror does not have one of them.
        """
        result = run(["apt-get", "download", "-qq", "--print-uris", *packages], environ=self.environ)
        # 'http://…/docker.io_26.1.5_amd64.deb' docker.io_26.1.5_amd64.deb 20000000 SHA256:…
        fields = [line.split() for line in result.stdout.splitlines() if line.startswith("'")]
        return {name: int(size) for _, name, size, *_ in fields}

    def download(self, packages: Iterable[str], into: Path) -> None:
        """Fetch packages into a folder; apt checks each against the signed lists, and fetches again what is incomplete.

        Raises:
            LabError: the mirror does not answer, or what it sent is not what was signed.
        """
        into.mkdir(parents=True, exist_ok=True)
        run(["apt-get", "download", "-q", *packages], environ=self.environ, cwd=into)

    def closure(self, packages: Iterable[str], without: Iterable[str] = ()) -> list[Path]:
        """Fetch packages and all that they depend on, as for a machine on which nothing is installed.

        Args:
            packages: their names.
            without: names of packages that are not kept.

        Raises:
            LabError: the mirror does not have one of them, or does not answer.
        """
        run(["apt-get", "install", "-q", "-y", "--download-only", *packages], environ=self.environ)
        fetched = sorted((self.folder / "cache/archives").glob("*.deb"))
        return [path for path in fetched if path.name.partition("_")[0] not in set(without)]


def program(name: str) -> str | None:
    """The path of a program of the machine, looked for where root's programs are, too."""
    return shutil.which(name, path=environment()["PATH"])


def install_on_host(packages: Iterable[str], repository: Path | None = None) -> None:
    """Install packages on the machine from its own sources; the lists are fetched into a folder of ours.

    Args:
        packages: what is missing.
        repository: a folder of packages with their index, which is taken in place of the machine's sources.

    Raises:
        LabError: apt says no.
    """
    environ = environment({"DEBIAN_FRONTEND": "noninteractive"})
    with tempfile.TemporaryDirectory(prefix="dockerlab-lists-") as folder:
        lists, sources, none = (Path(folder) / name for name in ("lists", "sources.list", "none"))
        (lists / "partial").mkdir(parents=True)
        options = ["-o", f"Dir::State::Lists={lists}", "-o", "APT::Sandbox::User=root", "-o", "DPkg::Lock::Timeout=120"]
        if repository:
            # The caller has checked the folder. In a list of sources no address has a space.
            sources.write_text(f"deb [trusted=yes] file:{quote(str(repository))} ./\n")
            options += ["-o", f"Dir::Etc::SourceList={sources}", "-o", f"Dir::Etc::SourceParts={none}"]
        run(["apt-get", "update", "-q", *options], environ=environ)
        run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages, *options], environ=environ)


def environment(more: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """The environment for programs of the system: messages in English, and root's programs on PATH."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", **more}


def run(
    command: list[str], *, environ: Mapping[str, str] | None = None, cwd: Path | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program of the system to its end.

    Raises:
        LabError: it ended with an error; the end of what it printed is in the message.
    """
    result = subprocess.run(
        command, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if check and result.returncode:
        tail = "\n".join((result.stdout + result.stderr).strip().splitlines()[-12:])
        raise LabError(f"`{' '.join(command[:4])} …` ended with exit code {result.returncode}.", log=tail)
    return result
