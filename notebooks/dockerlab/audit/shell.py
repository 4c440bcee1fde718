"""As much of the shell's language as is needed to recognize simple commands."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_OWN_WORDS = frozenset(
    """
    ! . : [ [[ alias bg break builtin case cd command continue coproc declare do done echo elif else esac eval exec
    exit export false fg fi for function getopts hash if in jobs kill let local printf pwd read readonly return select
    set shift source test then time times trap true type typeset ulimit umask unalias unset until wait while { }
    """.split()  # noqa: SIM905 (a list would be a page long)
)
"""What a shell carries out itself: it cannot be handed its process, or there would be nothing to hand it to."""


@dataclass(frozen=True)
class Script:
    """One or more simple commands that are joined by ``&&``.

    Attributes:
        commands: each of them.
        last: where the last one begins in the text.
        is_plain: whether it is one command, in which nothing means anything to a shell but quotes and spaces.
        is_fixed: whether it has no variables, command substitutions or redirections; it may have patterns of names.
    """

    commands: tuple[str, ...]
    last: int
    is_plain: bool
    is_fixed: bool

    @property
    def program(self) -> str:
        """The program that the last command starts; empty where the shell carries it out itself."""
        first = self.commands[-1].split(maxsplit=1)[0]
        return first if re.fullmatch(r"[\w./+-]+", first) and first not in _OWN_WORDS else ""


# A command whose output is taken, without quotes or another one within.
_SUBSTITUTION = r"""(?: \$\([^()'"`\\]*\) | `[^`'"\\$]*` )"""
_TOKEN = re.compile(
    rf"""
      (?P<quoted> '[^']*' | "(?: [^"\\$`] )*" )
    | (?P<expanded> {_SUBSTITUTION} | "(?: [^"\\$`] | \\. | \$(?!\() | {_SUBSTITUTION} )*"
        | \\. | \$(?!\() | [<>]>?&[\d-] | >(?!\() | <(?![<(]) | [{{}}~] )  # no here-document, no process
    | (?P<pattern> [*?[\]!^] )
    | (?P<joined> && )
    | (?P<plain> [^'"\\$`<>{{}}~*?[\]!^&|;()\n\#] | (?<=[^ \t])\# )  # behind a space, # begins a comment
    """,
    re.VERBOSE | re.DOTALL,
)


def scan(text: str) -> Script | None:
    """Read a script; None where it is more than simple commands joined by ``&&``, or cannot be made out."""
    starts, kinds, position = [0], set(), 0
    while position < len(text):
        if not (token := _TOKEN.match(text, position)):
            return None
        position = token.end()
        kinds.add(token.lastgroup)
        if token.lastgroup == "joined":
            starts.append(position)
    is_fixed = "expanded" not in kinds
    return _script(text, starts, is_fixed and "pattern" not in kinds, is_fixed)


def _script(text: str, starts: list[int], is_plain: bool, is_fixed: bool) -> Script | None:
    ends = [start - 2 for start in starts[1:]] + [len(text)]
    commands = tuple(text[start:end].strip() for start, end in zip(starts, ends, strict=True))
    if not all(commands) or any(_begins_a_construct(command) for command in commands):
        return None
    last = starts[-1] + len(text[starts[-1] :]) - len(text[starts[-1] :].lstrip())
    is_plain = is_plain and len(commands) == 1 and "=" not in shlex.split(commands[0])[0]
    return Script(commands, last, is_plain, is_fixed)


def _begins_a_construct(command: str) -> bool:
    first = command.split(maxsplit=1)[0]
    return first in {"!", "{", "[[", "case", "coproc", "for", "function", "if", "select", "time", "until", "while"}
