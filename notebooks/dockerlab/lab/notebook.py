"""The notebook that runs this process, where one does."""

from __future__ import annotations

import sys
from typing import Any


def shell() -> Any:
    """IPython's shell, or None: a program that has not loaded IPython is no notebook, and it is slow to load."""
    ipython = sys.modules.get("IPython")
    return ipython and ipython.get_ipython()
