"""Mends of a Dockerfile, where it is certain what the mended one means: text in, text out.

A suggestion is never written into a project. What is not certain gives none: a variable in the wrong place, a script
whose content is not known, a file that cannot be read. Whether a suggestion mends what it should, an audit of the
patched copy shows.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ..build import dockerfile_text
from ..build.dockerfile_text import Text, Written
from ..records import Audit
from ..run.docker_exec import INITS, SHELLS
from . import suggest_order
from .shell import Script, scan

Read = Callable[[str], str | None]
"""Gives the text of a file in the build context, by its path from there; None where it is not sent to the builder."""

PRIVATE_NETWORKS = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
"""The networks of RFC 1918, in which a container's proxy usually is."""

USER = "10001:10001"
"""A user and a group that no system has by default. A number, so that Kubernetes can tell that it is not root."""

_LAUNCHERS = INITS | {"uv", "poetry", "pdm", "run", "--", "-m", "-I", "-u", "-O", "-g"}
_LAUNCHERS |= {"--no-sync", "--frozen", "--locked", "--no-dev", "--no-project"}
"""What may stand before a server in a command without changing what the server's options are."""

_STOPS = ("stops-on-sigterm", "lifespan-shutdown", "pid-1", "workers-stop")


@dataclass(frozen=True)
class Suggestion:
    """One mend.

    Attributes:
        checks: the checks that it mends: ``("pid-1", "stops-on-sigterm")``.
        description: what it does and why, in a sentence or two.
        text: the whole Dockerfile with it.
    """

    checks: tuple[str, ...]
    description: str
    text: str


def suggest(
    text: str,
    audit: Audit,
    *,
    read: Read,
    target: str | None = None,
    writes_own_folders: bool = True,
) -> tuple[Suggestion, ...]:
    """The mends for what an audit found. Each builds on the one before, so the last one's text has all of them.

    Args:
        text: the Dockerfile that was audited, as its owner wrote it.
        audit: what was found.
        read: gives the files of the build context.
        target: the build stage that was audited; the last if None.
        writes_own_folders: whether the application writes anywhere but to `/tmp`: then another user could not.
    """
    found = {finding.id: finding for finding in audit.checks}
    verdicts = {id_: finding.verdict for id_, finding in found.items()}
    suggestions: list[Suggestion] = []

    def add(checks: Collection[str], mend: Callable[[str], tuple[str, str] | None]) -> None:
        now = suggestions[-1].text if suggestions else text
        if checks and (mended := mend(now)) and mended[0] != now:
            suggestions.append(Suggestion(tuple(checks), mended[1], mended[0]))

    order = found.get("code-change-keeps-dependencies-cached")
    if order and order.verdict == "fail":
        # First, since it goes by the line that was found.
        add([order.id], lambda now: copy_order(now, read=read, line=order.line, target=target))
    add([id_ for id_ in _STOPS if verdicts.get(id_) == "fail"], lambda now: exec_form(now, target=target))
    if verdicts.get("behind-tls-proxy") == "warn":
        add(["behind-tls-proxy"], lambda now: forwarded_allow_ips(now, target=target))
    if verdicts.get("non-root") == "warn" and not writes_own_folders:
        add(["non-root"], lambda now: user(now, target=target))
    return tuple(suggestions)


def diff(old: str, new: str, name: str) -> str:
    """A unified diff that `git apply` and `patch -p1` take; empty where the texts are the same.

    Args:
        old: the text as it is.
        new: the text as it is suggested.
        name: the file's path, from where the diff is to be applied.
    """
    lines = difflib.unified_diff(_lines(old), _lines(new), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+$", text)  # LF alone ends a line, as for `patch`


# --- how it is started -----------------------------------------------------------------------------------------------


def exec_form(text: str, *, target: str | None = None) -> tuple[str, str] | None:
    """The server as process 1 in place of a shell: the new text, and what was done; None where it is not certain.

    A command without any of the shell's own language becomes a list. Where it has variables or redirections, or
    commands before the last, `exec` makes the shell hand over its process to the last one.
    """
    source = dockerfile_text.read(text)
    entrypoint, command = _start(source, target)
    if entrypoint and command:
        # Of both, the command is what is given to the entry point, or, to a shell, nothing at all.
        words = _list(entrypoint)
        if not words or _program(words) not in INITS:
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


def _list_without_shell(text: str, start: Written, words: list[str]) -> tuple[str, str] | None:
    """A list that ends with `sh -c …`, with what that starts in the shell's place."""
    if len(words) < 3 or _has_comment(text, start):
        return None
    *before, shell, option, command = words
    if shell.rpartition("/")[2] not in SHELLS or not re.fullmatch(r"-[eux]*c", option):
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
    name = script.program.rpartition("/")[2]
    return bool(name) and name not in SHELLS and not name.endswith((".sh", ".bash"))


def _is_posix_shell(source: Text, start: Written) -> bool:
    """Whether the shell form is carried out by a shell of whose language we know enough."""
    shells = [each for each in _lineage(source, start.stage) if each.keyword == "SHELL" and each.start < start.start]
    if not shells:
        return True
    words = _list(shells[-1])
    if not words or words[0].rpartition("/")[2] not in SHELLS:
        return False
    options = words[1:]
    return bool(options) and all(re.fullmatch(r"-[eux]*c|-[eux]*o|-[eux]+|pipefail", option) for option in options)


# --- behind a proxy --------------------------------------------------------------------------------------------------


def forwarded_allow_ips(text: str, *, target: str | None = None) -> tuple[str, str] | None:
    """The server believes a proxy in a private network: the new text, and what was done; None where it is not certain.

    Only where nobody has decided otherwise, by an option or a variable.

    The value is no `*`. That takes the left-most address of X-Forwarded-For, which a client may have sent, and so needs
    a proxy that overwrites the header. With networks, the server reads it from the right, up to the first address that
    is not a proxy's.
    """
    source = dockerfile_text.read(text)
    starts = [each for each in _start(source, target) if each]
    if not starts or any(_decides(each.arguments) for each in starts):
        return None
    if any(each.keyword == "ENV" and _decides(each.arguments) for each in _lineage(source, starts[0].stage)):
        return None
    told = (
        "`--forwarded-allow-ips` with the private networks, where proxies of containers and clusters are: a client's "
        "own X-Forwarded-For is not believed where the proxy appends to it. Narrow it to your proxy's network; `*` "
        "would need a proxy that overwrites the header."
    )
    for start in starts:
        last = start.words[-1]
        if words := _list(start):
            # Just before the bracket, so that all else of the list stays as it is written.
            place, option = last.places[-1], f', "--forwarded-allow-ips", "{PRIVATE_NETWORKS}"'
        elif (script := scan(start.arguments)) and not start.has_heredoc and source.escape == "\\":
            words = script.commands[-1].removeprefix("exec ").split()
            place, option = last.end, f" --forwarded-allow-ips {PRIVATE_NETWORKS}"
        else:
            continue
        if _serves(words):
            return text[:place] + option + text[place:], told
    return None


def _decides(arguments: str) -> bool:
    """Whether somebody has decided whom the server believes."""
    return bool(re.search(r"--forwarded-allow-ips\b|--no-proxy-headers\b|\bFORWARDED_ALLOW_IPS\b", arguments))


def _serves(words: list[str]) -> bool:
    """Whether a command starts a server that knows the option: it, an init or a launcher, then its own options."""
    names = [word.rpartition("/")[2] for word in words]
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

    The caller knows that the application writes nothing but to `/tmp`. There is no suggestion where a user was chosen
    already, where something is installed for root alone, or where what is started may count on being root.
    """
    source = dockerfile_text.read(text)
    entrypoint, command = _start(source, target)
    if not (entrypoint or command):
        return None
    stage = source.stage(target)
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


# --- in which order --------------------------------------------------------------------------------------------------


def copy_order(text: str, *, read: Read, line: int | None = None, target: str | None = None) -> tuple[str, str] | None:
    """The dependencies installed before the code is copied: the new text, what was done; None where it is not certain.

    Args:
        text: the Dockerfile.
        read: gives the files of the build context.
        line: of the instruction that comes too early; it tells the build stage. The target stage if None.
        target: the build stage to stop at; the last if None.
    """
    source = dockerfile_text.read(text)
    stage = next((each.stage for each in source.instructions if each.line == line), source.stage(target))
    if stage is None or stage < 0 or source.escape != "\\":
        return None
    return suggest_order.reorder(source, stage, read)


# --- what all need ---------------------------------------------------------------------------------------------------


def _parents(source: Text, stage: int) -> list[int]:
    """A stage, the one that it begins with, and so on, the last one first."""
    found = [stage]
    while True:
        base = next(iter(source.in_stage(found[-1])[0].operands()), None)
        parent = dockerfile_text.find_stage(base.text, source.stages[: found[-1]], by_number=False) if base else None
        if parent is None:
            return found
        found.append(parent)


def _lineage(source: Text, stage: int) -> list[Written]:
    """All instructions that make a stage, with those of the stages it begins with, in order."""
    return [each for number in reversed(_parents(source, stage)) for each in source.in_stage(number)]


def _start(source: Text, target: str | None) -> tuple[Written | None, Written | None]:
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


def _list(start: Written) -> list[str] | None:
    """The words of an instruction in exec form; None where it is in shell form."""
    try:
        words = json.loads(start.arguments)
    except ValueError:
        return None
    return words if isinstance(words, list) and words and all(isinstance(word, str) for word in words) else None


def _program(words: list[str]) -> str:
    return words[0].rpartition("/")[2] if words else ""


def _has_comment(text: str, start: Written) -> bool:
    return any(line.lstrip().startswith("#") for line in text[start.start : start.end].splitlines())


def _rewritten(text: str, start: Written, words: list[str]) -> str:
    """The text with other arguments for an instruction, on one line."""
    first, last = start.words[1].start, start.words[-1].end
    return text[:first] + json.dumps(words, ensure_ascii=False) + text[last:]


def _place(start: Written, offset: int) -> int:
    """Where the character at `offset` of an instruction's arguments stands in the text."""
    for match, word in zip(re.finditer(r"\S+", start.arguments), start.words[1:], strict=True):
        if match.start() <= offset < match.end():
            return word.places[offset - match.start()]
    raise ValueError(f"no word of {start.arguments!r} is at {offset}")
