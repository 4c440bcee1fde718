"""What the README takes from the lessons, and so cannot go stale: its picture, and the questions and minutes."""

from __future__ import annotations

import base64
import re

from dockerlab.lab.lessons import lessons
from execute import NOTEBOOKS, ROOT, read

PICTURE = NOTEBOOKS / "images" / "timeline.png"
LESSON, CELL = "03_exec_or_shell.ipynb", "init"


def picture() -> bytes:
    """The figure that the cell shows, as PNG."""
    cell = next(cell for cell in read(NOTEBOOKS / LESSON).cells if cell.id == CELL)
    return base64.b64decode(next(output.data["image/png"] for output in cell.outputs if "image/png" in output.data))


def with_lessons(text: str) -> str:
    """The README, with each lesson's question and minutes in the table. What a reader practices there is its own."""
    for lesson in lessons():
        link = f"[{lesson.number}](notebooks/{lesson.name}.ipynb)"
        row = re.compile(rf"^\| {re.escape(link)} \| [^|]* \| ([^|]*) \| [^|]* \|$", re.MULTILINE)
        text = row.sub(lambda found: f"| {link} | {lesson.question} | {found[1]} | {lesson.time} |", text)  # noqa: B023
    return text


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(picture())
    readme = ROOT / "README.md"
    readme.write_text(with_lessons(readme.read_text()))
