"""The sanitize file: what nbval replaces in both outputs, the committed and the new one, before it compares them.

What a rule matches may become anything. So rules are narrow, and `test_sanitize.py` holds them to it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbval.plugin import coalesce_streams, get_sanitize_patterns

FILE = Path(__file__).with_name("sanitize.cfg")
NOT_COMPARED = {"image/png", "application/vnd.jupyter.widget-view+json"}


def rules(text: str | None = None) -> dict[str, str]:
    """The rules of the file, pattern and replacement, in their order, as nbval reads them."""
    return dict(get_sanitize_patterns(FILE.read_text() if text is None else text))


def sanitized(text: str) -> str:
    for pattern, replacement in rules().items():
        text = re.sub(pattern, replacement, text)
    return text


def texts(outputs: list[NotebookNode]) -> list[tuple[str, str, Any]]:
    """All that is compared in a cell's outputs: where it stands, in which format, and the text."""
    found = []
    for output in coalesce_streams([NotebookNode(output) for output in outputs]):
        if output.output_type == "stream":
            found.append(("stream", output.name, output.text))
        for kind, content in sorted(output.get("data", {}).items()):
            if kind not in NOT_COMPARED:
                found.append((output.output_type, kind, content))
    return found


def same(old: list[NotebookNode], new: list[NotebookNode]) -> bool:
    """Whether two outputs of a cell differ only in what is not compared."""

    def compared(outputs: list[NotebookNode]) -> list[tuple]:
        return [
            (where, kind, sanitized(content) if isinstance(content, str) else content)
            for where, kind, content in texts(outputs)
        ]

    return compared(old) == compared(new)
