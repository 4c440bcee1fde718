"""Fixes of how a Dockerfile starts the server: in exec form, behind a proxy, as another user. Text in, text out.

What is not certain gives no fix: a variable in the wrong place, a script whose content is not known.
"""

from __future__ import annotations

import json
import re
import shlex
from posixpath import basename

from ..build import dockerfile as dockerfiles
from ..build.dockerfile import Dockerfile, Instruction
from ..records import INITS, SHELLS
from .shell import Script, scan

PRIVATE_NETWORKS = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
"""The networks of RFC 1918, in which a container's proxy usually is."""

USER = "10001:10001"
"""A user and a group that no system has by default. A number, so that Kubernetes can tell that it is not root."""

_LAUNCHERS = INITS | {"uv", "poetry", "pdm", "run", "--", "-m", "-I", "-u", "-O", "-g"}
_LAUNCHERS |= {"--no-sync", "--frozen", "--locked", "--no-dev", "--no-project"}
"""What may stand before a server in a command without changing what the server's options are."""


# --- how it is started -----------------------------------------------------------------------------------------------


def exec_form(text: str, *, target: str | None = None) -> tuple[str, str] | None:
    """The server as PID 1 in place of a shell: the new text, and what was done; None where it is not certain.

    A command without any of the shell's own language becomes a list. Where it has variables or redirections, or
    commands before the last, `exec` makes the shell hand over its process to the last one.
    """
    source = dockerfiles.parse(text)
    entrypoint, command = _start(source, target)
    if entrypoint and command:
        # The command is the entry point's arguments then; an entry point in shell form ignores it.
        words = _list(entrypoint)
        if not words or basename(words[0]) not in INITS:
            return None
    start = command or entrypoint
    if not start or start.has_heredoc or source.escape != "\\":
        return None
    if (words := _list(start)) is not None:
        return _list_without_shell(text, start, words)
    if start.arguments.startswith("["):  # no valid list, and so a command of the shell that begins with `[`
        return None
    if not _is_posix_shell(source, start):
        return None
    if not (script := scan(start.arguments)) or not _can_be_process_1(script):
        return None
    if script.is_plain and not _has_comment(text, start):
        words = shlex.split(start.arguments)
        return _rewritten(text, start, words), f"{start.keyword} in exec form: no shell is between the engine and it."
    place = _place(start, script.last)
    told = f"`exec` in {start.keyword}: the shell hands its process over to `{script.program}`, which gets the signal."
    return text[:place] + "exec " + text[place:], told


def _list_without_shell(text: str, start: Instruction, words: list[str]) -> tuple[str, str] | None:
    """A list that ends with `sh -c …`, with what that starts in the shell's place."""
    if len(words) < 3 or _has_comment(text, start):
        return None
    *before, shell, option, command = words
    if basename(shell) not in SHELLS or not re.fullmatch(r"-[eux]*c", option):
        return None
    if not (script := scan(command)) or not _can_be_process_1(script):
        return None
    if script.is_plain:
        told = f"{start.keyword} without `{shell} {option}`: no shell is between the engine and the server."
        return _rewritten(text, start, [*before, *shlex.split(command)]), told
    command = f"{command[: script.last]}exec {command[script.last :]}"
    told = f"`exec` in {start.keyword}: the shell hands its process over to `{script.program}`, which gets the signal."
    return _rewritten(text, start, [*before, shell, option, command]), told


def _can_be_process_1(script: Script) -> bool:
    """Whether the last command is a program, and none that would only be a shell again."""
    name = basename(script.program)
    return bool(name) and name not in SHELLS and not name.endswith((".sh", ".bash"))


def _is_posix_shell(source: Dockerfile, start: Instruction) -> bool:
    """Whether the shell form is run by a POSIX shell without options that change the language."""
    shells = [each for each in _lineage(source, start.stage) if each.keyword == "SHELL" and each.start < start.start]
    if not shells:
        return True
    words = _list(shells[-1])
    if not words or basename(words[0]) not in SHELLS:
        return False
    options = words[1:]
    return bool(options) and all(re.fullmatch(r"-[eux]*c|-[eux]*o|-[eux]+|pipefail", option) for option in options)


# --- behind a proxy --------------------------------------------------------------------------------------------------


def forwarded_allow_ips(text: str, *, target: str | None = None) -> tuple[str, str] | None:
    """The server trusts a proxy in a private network: the new text, and what was done; None where it is not certain.

    Only where nobody has decided otherwise, by an option or a variable.

    The value is no `*`. That takes the left-most address of X-Forwarded-For, which a client may have sent, and so needs
    a proxy that overwrites the header. With networks, the server reads it from the right, up to the first address that
    is not a proxy's.
    """
    source = dockerfiles.parse(text)
    starts = [each for each in _start(source, target) if each]
    if not starts or any(_decides(each.arguments) for each in starts):
        return None
    if any(each.keyword == "ENV" and _decides(each.arguments) for each in _lineage(source, starts[0].stage)):
        return None
    told = (
        "`--forwarded-allow-ips` with the private networks, where proxies of containers and clusters are: a client's "
        "own X-Forwarded-For is not trusted where the proxy appends to it. Narrow it to your proxy's network; `*` "
        "would need a proxy that overwrites the header."
    )
    for start in starts:
        last = start.words[-1]
        if words := _list(start):
            # Just before the bracket, so that all else of the list stays as it is written.
            place, option = last.offsets[-1], f', "--forwarded-allow-ips", "{PRIVATE_NETWORKS}"'
        elif (script := scan(start.arguments)) and not start.has_heredoc and source.escape == "\\":
            words = script.commands[-1].removeprefix("exec ").split()
            place, option = last.end, f" --forwarded-allow-ips {PRIVATE_NETWORKS}"
        else:
            continue
        if _serves(words):
            return text[:place] + option + text[place:], told
    return None


def _decides(arguments: str) -> bool:
    """Whether it is decided already which proxies the server trusts."""
    return bool(re.search(r"--forwarded-allow-ips\b|--no-proxy-headers\b|\bFORWARDED_ALLOW_IPS\b", arguments))


def _serves(words: list[str]) -> bool:
    """Whether a command starts a server that knows the option: it, an init or a launcher, then its own options."""
    names = [basename(word) for word in words]
    for number, name in enumerate(names):
        if name in {"uvicorn", "gunicorn"} or (name == "fastapi" and names[number + 1 : number + 2] == ["run"]):
            # Behind a lone `--`, an option would be none.
            return "--" not in names[number:] and all(_launches(before) for before in names[:number])
    return False


def _launches(name: str) -> bool:
    return name in _LAUNCHERS or bool(re.fullmatch(r"python[\d.]*", name))


# --- which user ------------------------------------------------------------------------------------------------------


def user(text: str, *, target: str | None = None) -> tuple[str, str] | None:
    """A user that is not root: the new text, and what was done; None where it is not certain.

    The caller knows that the application writes to `/tmp` only. There is no fix where a user is set already, where
    something is installed for root alone, or where what is started may rely on being root.
    """
    source = dockerfiles.parse(text)
    entrypoint, command = _start(source, target)
    stage = source.stage(target)
    if stage is None or not (entrypoint or command):
        return None
    lineage = _lineage(source, stage)
    if any(each.keyword in {"USER", "VOLUME"} for each in lineage):
        return None
    if any(re.search(r"/root\b|~/|\$HOME\b|--user\b|\buv python install\b", each.arguments) for each in lineage):
        return None
    told = " ".join(each.arguments for each in (entrypoint, command) if each)
    if re.search(r"\b(gosu|su-exec|setpriv|runuser|sudo|su|supervisord|uv|poetry|pdm|pipenv)\b|\.sh\b", told):
        return None
    there = source.in_stage(stage)
    needing_root = [each for each in there if each.keyword in {"FROM", "RUN", "COPY", "ADD", "WORKDIR"}]
    below = [each for each in there if each.start >= needing_root[-1].end and each.keyword in {"CMD", "ENTRYPOINT"}]
    end = source.line_end
    told = f"USER {USER}, in front of what is started: neither root in the container, nor a name to be looked up."
    if below:
        return text[: below[0].start] + f"USER {USER}{end}" + text[below[0].start :], told
    place = needing_root[-1].end
    before = "" if text[:place].endswith("\n") else end
    return text[:place] + f"{before}USER {USER}{end}" + text[place:], told


# --- what all fixes need ---------------------------------------------------------------------------------------------


def _parents(source: Dockerfile, stage: int) -> list[int]:
    """A stage, the one that it begins with, and so on, the last one first."""
    found = [stage]
    while (parent := source.parent(found[-1])) is not None:
        found.append(parent)
    return found


def _lineage(source: Dockerfile, stage: int) -> list[Instruction]:
    """All instructions that make a stage, with those of the stages it begins with, in order."""
    return [each for number in reversed(_parents(source, stage)) for each in source.in_stage(number)]


def _start(source: Dockerfile, target: str | None) -> tuple[Instruction | None, Instruction | None]:
    """The ENTRYPOINT and the CMD that count."""
    stage = source.stage(target)
    entrypoint = command = None
    if stage is None:
        return None, None
    for number in _parents(source, stage):
        there = source.in_stage(number)
        is_reset = entrypoint is not None  # a stage with an entry point forgets the CMD of the one it begins with
        last = {each.keyword: each for each in there}
        command = command or (None if is_reset else last.get("CMD"))
        entrypoint = entrypoint or last.get("ENTRYPOINT")
    return entrypoint, command


def _list(start: Instruction) -> list[str] | None:
    """The words of an instruction in exec form; None where it is in shell form."""
    try:
        words = json.loads(start.arguments)
    except ValueError:
        return None
    return words if isinstance(words, list) and words and all(isinstance(word, str) for word in words) else None


def _has_comment(text: str, start: Instruction) -> bool:
    return any(line.lstrip().startswith("#") for line in text[start.start : start.end].splitlines())


def _rewritten(text: str, start: Instruction, words: list[str]) -> str:
    """The text with other arguments for an instruction, on one line."""
    first, last = start.words[1].start, start.words[-1].end
    return text[:first] + json.dumps(words, ensure_ascii=False) + text[last:]


def _place(start: Instruction, offset: int) -> int:
    """Where the character at `offset` of an instruction's arguments stands in the text."""
    for match, word in zip(re.finditer(r"\S+", start.arguments), start.words[1:], strict=True):
        if match.start() <= offset < match.end():
            return word.offsets[offset - match.start()]
    raise ValueError(f"no word of {start.arguments!r} is at {offset}")
