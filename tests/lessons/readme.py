"""The picture in the README is the output of a cell: it is taken from the lesson, and so cannot go stale."""

from __future__ import annotations

import base64

from execute import NOTEBOOKS, read

PICTURE = NOTEBOOKS / "images" / "timeline.png"
LESSON, CELL = "03_exec_or_shell.ipynb", "init"


def picture() -> bytes:
    """The figure that the cell shows, as PNG."""
    cell = next(cell for cell in read(NOTEBOOKS / LESSON).cells if cell.id == CELL)
    return base64.b64decode(next(output.data["image/png"] for output in cell.outputs if "image/png" in output.data))


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(picture())
