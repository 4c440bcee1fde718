"""The one way in which the laboratory waits: look again and again, until it is there or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def tries(seconds: float, every: float = 0.05) -> Iterator[float]:
    """Count the tries that so much time allows, for a loop that ends by `return` or `break` where a try succeeds.

    There is at least one, and a last one when the time is up: what happens during the last sleep is not missed.

    Args:
        seconds: how long there is to try.
        every: seconds to sleep between two tries.

    Yields:
        The seconds that are left, 0 at the last try.
    """
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        yield left
        time.sleep(min(every, max(deadline - time.monotonic(), 0)))
    yield 0


def until(condition: Callable[[], T], seconds: float, every: float = 0.05) -> T:
    """Ask until the answer is true or time is up.

    Args:
        condition: what is asked.
        seconds: how long there is to wait.
        every: seconds to sleep between two questions.

    Returns:
        The last answer: false in some way only where the time was up.
    """
    for _ in tries(seconds, every):
        if answer := condition():
            break
    return answer
