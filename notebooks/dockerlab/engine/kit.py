"""The kit that this machine is to use, if there is one: in place of every download."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import folders, labels
from ..errors import LabError
from . import portable

VARIABLE = "DOCKERLAB_KIT"
"""Names the kit's folder; empty where none is to be used, though there is one in the repository."""

PLACE = "/opt/dockerlab-kit"
"""Where the kit's packages are in the base image: builds install from there, as if it were the index and the mirror."""

_TAG = f"{labels.BASE_REPOSITORY}:kit-"


class KitRefused(LabError):
    """There is a kit, and it is not whole, or for another machine."""


@dataclass(frozen=True)
class Kit:
    """A kit, as it describes itself. Its files are trusted only after `check`.

    Attributes:
        folder: where it is.
        about: the content of its `kit.json`.
    """

    folder: Path
    about: dict[str, Any]

    @property
    def digest(self) -> str:
        """The kit's name: twelve digits that stand for all of its content."""
        return portable.short_digest(self.folder)

    @property
    def base_archive(self) -> Path:
        return self.folder / str(self.about["base"]["file"])

    @property
    def base_tag(self) -> str:
        """The tag of the image in the archive, from which the lab derives its own."""
        return str(self.about["base"]["tag"])

    @property
    def tag(self) -> str:
        """The tag of the base image that has this kit's packages inside."""
        return tag(self.digest)

    @property
    def engine_debs(self) -> list[Path]:
        return [self.folder / name for name in self.about["engine"]]

    def host_repository(self, codename: str) -> Path | None:
        """The folder with the programs that the engine needs from a machine of this release, or None."""
        name = self.about["host"].get(codename)
        return self.folder / name if name else None

    def check(self) -> None:
        """Read each file once, and compare it with its checksum.

        Raises:
            KitRefused: a file is missing, truncated or altered, or the kit is for another machine or Python.
        """
        _check(self.folder)


def tag(digest: str) -> str:
    """The tag of a base image that has packages inside."""
    return f"{_TAG}{digest}"


def is_tag(tag: str) -> bool:
    """Whether a base image is one with a kit's packages inside: of use only with the kit, for it knows no index."""
    return tag.startswith(_TAG)


def find() -> Kit | None:
    """The kit that `DOCKERLAB_KIT` names, else the folder `kit` of the repository itself.

    A kit brings programs that are run as root, so none is taken from a place that others write to: not from the folder
    that the repository is in.

    Raises:
        KitRefused: there is one, and it cannot be read.
    """
    named = os.environ.get(VARIABLE)
    if named is not None:
        return _read(Path(named).expanduser().resolve()) if named else None
    own = folders.NOTEBOOKS.parent / "kit"
    return _read(own) if (own / portable.SUMS).is_file() and (own / portable.ABOUT).is_file() else None


def _read(folder: Path) -> Kit:
    try:
        return Kit(folder, portable.read(folder)[1])
    except portable.Refused as refused:
        raise KitRefused(refused.seen, refused.do) from None


@functools.cache
def _check(folder: Path) -> None:
    try:
        portable.check(folder)
    except portable.Refused as refused:
        raise KitRefused(refused.seen, refused.do) from None
