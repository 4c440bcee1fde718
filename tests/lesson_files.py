"""The files that lessons write with `%%writefile`, for tests that try them without running the lesson."""

from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_APP = ROOT / "sample_app"


def written(lesson: str) -> dict[str, str]:
    """The text that each `%%writefile` cell writes, by path, as IPython writes it: the lines after the first."""
    cells = nbformat.read(ROOT / "notebooks" / f"{lesson}.ipynb", as_version=4).cells
    texts = {}
    for cell in cells:
        first, _, rest = cell.source.partition("\n")
        if first.startswith("%%writefile "):
            texts[first.split()[-1]] = rest + "\n"
    return texts


def lay_out(lesson: str, folder: Path) -> None:
    """Write them all below a folder, and the empty `__init__.py` beside each `main.py` of a package `app`."""
    for name, text in written(lesson).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.name == "main.py":
            (path.parent / "__init__.py").touch()
