"""A claim: a sentence that a lesson measures, where it comes from, and what a reader may expect instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Value: TypeAlias = str | int | bool | None
Outcome: TypeAlias = Mapping[str, Value]
"""What was measured, or is expected: ``{"exit_code": 137, "shutdown_ran": False}``."""


_SHORT = 3
"""What was measured is shown whole up to so many values; of a table's rows, those that decide."""


@dataclass(frozen=True, eq=False)
class Claim:
    """What a lesson claims, and the question that it asks before it measures.

    Attributes:
        id: ``stop.shell-form``: a field, and what is claimed there.
        sentence: the claim, a whole sentence.
        outcome: all that is measured, where the claim holds.
        advice: the address of the public advice on it; "" where nobody gives any.
        question: what the reader is asked before the measurement; "" where they are asked nothing.
        options: the answers to choose from, each with what would be measured if it were right: a part of an outcome.
    """

    id: str
    sentence: str
    outcome: Outcome
    advice: str = ""
    question: str = ""
    options: Mapping[str, Outcome] = field(default_factory=dict)

    def answer(self, measured: Outcome) -> str:
        """The option that is right according to a measurement; "" where none is, or several are."""
        found = [text for text, expected in self.options.items() if expected.items() <= measured.items()]
        return found[0] if len(found) == 1 else ""

    def letter(self, option: str) -> str:
        """``a`` for the first of the options."""
        return "abcdefgh"[list(self.options).index(option)]

    def differences(self, measured: Outcome) -> list[str]:
        """What was measured otherwise than the claim says, each in words."""
        names = dict.fromkeys([*self.outcome, *measured])
        return [
            f"{words(name)} is {shown(measured.get(name, '(not measured)'))}, "
            f"and {shown(self.outcome.get(name, '(nothing)'))} was expected"
            for name in names
            if name not in measured or name not in self.outcome or measured[name] != self.outcome[name]
        ]

    def decisive(self, measured: Outcome) -> dict[str, Value]:
        """What decides between the options; all that was measured where there are none, or where it is short."""
        if len(measured) <= _SHORT:
            return dict(measured)
        deciding = {name for expected in self.options.values() for name in expected}
        return {name: value for name, value in measured.items() if name in deciding or not deciding}


def words(name: str) -> str:
    """The name of something measured, in words: ``exit code``."""
    return name.replace("_", " ")


def shown(value: Value) -> str:
    """Something measured, in words."""
    if value is None:
        return "none"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
