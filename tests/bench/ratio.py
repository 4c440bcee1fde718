"""One line of the benchmark's table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Something measured against something else in the same run, or shown alone.

    Attributes:
        what: what was measured.
        seconds: how long it took (of several rounds: the median); or how much it was, in another `unit`.
        against: what it is held against; empty where it is only shown.
        against_seconds: how long that took.
        at_most: the target: the largest ratio that is good enough; None where there is none.
        at_least: likewise, the smallest.
        unit: of both numbers: ``s``, ``MB``.
    """

    what: str
    seconds: float
    against: str = ""
    against_seconds: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    unit: str = "s"

    @property
    def value(self) -> float | None:
        return self.seconds / self.against_seconds if self.against_seconds else None

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else ""

    @property
    def met(self) -> bool:
        if self.value is None:
            return True
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )
