"""The Python packages that the lab itself needs, fetched for a kit."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import tempfile
import tomllib
from pathlib import Path

from dockerlab.engine import apt, certificates, systems
from packaging.requirements import Requirement

OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


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


def fetch(root: Path, wheels: Path, pythons: list[str]) -> None:
    """Fetch what `requirements` names, for each of these versions of Python.

    Raises:
        LabError: pip could not fetch something.
    """
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        pip = _pip(Path(folder), environ)
        for python in pythons:
            wanted = Path(folder) / f"requirements-{python}.txt"
            wanted.write_text("\n".join(requirements(root, python)) + "\n")
            download = ["download", "--quiet", "--only-binary=:all:"]
            download += ["--dest", str(wheels), "--requirement", str(wanted)]
            if python != OWN_PYTHON:
                # The pins name all that there is, so nothing has to be resolved for a Python that is not here.
                download += ["--no-deps", "--python-version", python, *(f"--platform={name}" for name in _platforms())]
            apt.run([*pip, *download], environ=environ)


def _platforms() -> list[str]:
    """What wheels for this processor are tagged with, the newest first (PEP 600; glibc 2.36 is that of Debian 12)."""
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 4, -1)]
    return [*tags, f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}", f"linux_{machine}"]


def _pip(folder: Path, environ: dict[str, str]) -> list[str]:
    """A pip that works for this Python: its own, else one that uv fetches, else that of the Python below this one."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := systems.uv():
        install = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder / "pip"), "pip"]
        apt.run(install, environ={**certificates.UV, **environ})
        environ["PYTHONPATH"] = str(folder / "pip")
        return [sys.executable, "-m", "pip"]
    return [str(Path(sys.base_prefix) / "bin" / "python3"), "-m", "pip", "--python", sys.executable]
