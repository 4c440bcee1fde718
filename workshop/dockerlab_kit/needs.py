"""What the lessons install while they build: read from the lessons themselves, so that a kit has what they need."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_PIN = re.compile(r"(?<![\w.=-])([A-Za-z][A-Za-z0-9._-]*(?:\[[A-Za-z0-9,._-]+\])?==\d[A-Za-z0-9.!+]*)")
_SOURCE = re.compile(r"--no-binary[ =]([A-Za-z0-9._-]+)")
_APT = re.compile(r"apt-get\s+(?:-\S+\s+)*install((?:\s+(?:--?[a-z][a-z-]*|[a-z0-9][a-z0-9.+-]*))+)")
_CONTINUED = re.compile(r"\\+\n\s*")


def texts(root: Path) -> Iterator[str]:
    """The lessons' cells, the lab's own Dockerfiles, the sample application, the faults that tests put into lessons."""
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            yield "".join(cell["source"])
    rooms = [f"notebooks/dockerlab/{room}/*.py" for room in ("build", "run", "deploy", "image", "claims")]
    for pattern in (*rooms, "sample_app/**/*", "tests/lessons/faults.py"):
        for path in sorted(root.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.read_text(errors="ignore")


def pins(texts: Iterable[str]) -> set[str]:
    """The Python packages that are named with their version: ``fastapi[standard]==0.165.0``."""
    return {pin.rstrip(".") for text in texts for pin in _PIN.findall(text.replace("\\n", "\n"))}


def sources(texts: Iterable[str]) -> set[str]:
    """The Python packages that are to be built from source."""
    return {name for text in texts for name in _SOURCE.findall(text)} - {":all:"}


def packages(texts: Iterable[str]) -> set[str]:
    """The packages of the distribution that `apt-get install` names."""
    found = set()
    for text in texts:
        for words in _APT.findall(_CONTINUED.sub(" ", text)):
            found |= {word for word in words.split() if not word.startswith("-")}
    return found


def rounds(pins: Iterable[str]) -> list[list[str]]:
    """Pins in as few rounds as hold at most one version of each package: what one installation can resolve."""
    found: list[dict[str, str]] = []
    for pin in sorted(pins, reverse=True):
        name, _, version = pin.partition("==")
        name = re.sub(r"[-_.]+", "-", name.partition("[")[0]).lower()
        for taken in found:
            if taken.get(name, version) == version:
                taken[name] = version
                taken[pin] = version
                break
        else:
            found.append({name: version, pin: version})
    return [sorted(key for key in taken if "==" in key) for taken in found]
