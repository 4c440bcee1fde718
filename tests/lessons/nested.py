"""Run pytest in pytest, with the project's own configuration, on what a test has planted in a folder."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from execute import ROOT

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock", "DOCKER_CONTEXT": ""}


@dataclass(frozen=True)
class Result:
    """What became of one test.

    Attributes:
        outcome: ``passed``, ``failure``, ``error`` or ``skipped``.
        message: what pytest says about it.
    """

    outcome: str
    message: str = ""


@dataclass(frozen=True)
class Run:
    """One run of pytest: its exit code, what it printed, and its results by name: ``03_exec_or_shell::setup``."""

    code: int
    text: str
    results: dict[str, Result]

    def __getitem__(self, test: str) -> Result:
        return self.results[test]


def run(folder: Path, *options: str, env: dict[str, str]) -> Run:
    report = folder / "report.xml"
    outer = ("PYTEST_", "DOCKERLAB_WORKSPACE")  # what the pytest that we are in has set
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    own = [f"--config-file={ROOT / 'pyproject.toml'}", f"--junitxml={report}", "--color=no"]
    own += ["-p", "conftest", "-p", "no:cacheprovider"]
    # Of the plugins that are installed, those that the configuration needs: they are slow to load.
    own += ["-p", "nbval.plugin", "-p", "pytest_timeout"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", str(folder), *own, *options],
        env={**inherited, "PYTHONPATH": str(ROOT / "tests"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
    )
    return Run(result.returncode, result.stdout + result.stderr, dict(map(_result, ET.parse(report).iter("testcase"))))


def _result(case: ET.Element) -> tuple[str, Result]:
    file = case.get("classname").removesuffix(".ipynb").split(".")[-1]
    for child in case:
        if child.tag in {"failure", "error", "skipped"}:
            return f"{file}::{case.get('name')}", Result(child.tag, f"{child.get('message')}\n{child.text}")
    return f"{file}::{case.get('name')}", Result("passed")
