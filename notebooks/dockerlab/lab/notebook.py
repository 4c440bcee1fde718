"""The notebook that runs this process, where one does, and what is shown in it."""

from __future__ import annotations

import html
import re
import sys
from typing import Any


def shell() -> Any:
    """IPython's shell, or None: a program that has not loaded IPython is no notebook, and it is slow to load."""
    ipython = sys.modules.get("IPython")
    return ipython and ipython.get_ipython()


def with_code(text: str) -> str:
    """Text as HTML, where what stands between backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))
