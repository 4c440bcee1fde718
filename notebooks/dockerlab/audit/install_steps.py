"""What a step of a build installs: the project, what it depends on, or a tool that installs others."""

from __future__ import annotations

import re

_TOOLS = frozenset({"pip", "setuptools", "wheel", "uv", "poetry", "pipenv", "pdm", "hatch", "build"})
_TOOLS |= {"pip-tools", "pipx", "virtualenv"}


def installs(instruction: str) -> str:
    """What a step of a build installs.

    ``dependencies``, the ``project`` itself, ``both`` at once, a ``tool`` that installs others, or nothing: "".

    Args:
        instruction: ``RUN pip install -r requirements.txt``.
    """
    if not instruction.upper().startswith("RUN"):
        return ""
    kinds = {_kind(part) for part in re.split(r"&&|;|\|\|", instruction)} - {""}
    return next((kind for kind in ("dependencies", "both", "project", "tool") if kind in kinds), "")


def _kind(command: str) -> str:
    if re.search(r"\buv sync\b", command):
        return "dependencies" if "--no-install-project" in command or "--no-install-workspace" in command else "both"
    if re.search(r"\bpoetry install\b", command):
        return "dependencies" if re.search(r"--no-root|--only[ =]main --no-root", command) else "both"
    if re.search(r"\b(pdm (sync|install)|pipenv (sync|install)|npm (ci|install)|conda (install|env))\b", command):
        return "dependencies"
    if re.search(r"\b(apt-get|apt|apk)\b.*\b(install|add)\b", command):
        return "dependencies"
    if found := re.search(r"\b(?:pip3?|uv pip) (?:install|sync)\b(.*)", command):
        words = found[1].split()
        if "-r" in words or any(re.match(r"-r.|--requirement|.*requirements.*\.txt", word) for word in words):
            return "dependencies"
        named = _packages(words)
        if named and all(re.match(r"\.|/|-e$|--editable", word) or word.startswith("file:") for word in named):
            return "project" if "--no-deps" in words else "both"
        bare = {re.split(r"[=<>~!\[]", word, maxsplit=1)[0].lower() for word in named}
        return "tool" if bare and bare <= _TOOLS else "dependencies"
    return ""


def _packages(words: list[str]) -> list[str]:
    """What is installed, without options and their values."""
    takes_value = {"-i", "--index-url", "--extra-index-url", "-f", "--find-links", "-c", "--constraint", "--prefix"}
    takes_value |= {"-t", "--target", "--root", "--python", "--cache-dir", "--trusted-host"}
    named, following = [], iter(words)
    for word in following:
        if word in takes_value:
            next(following, None)
        elif not word.startswith("-"):
            named.append(word.strip("'\""))
    return [word for word in named if word not in ("-e", "--editable")]
