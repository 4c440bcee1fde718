"""The executed lessons as a static site for reading: `make site`, or `python workshop/site FOLDER`.

Nothing is executed: the site shows the output that is committed, and that the tests compare. What Sphinx warns of, and
each link that leads nowhere, is an error: then an earlier site in the folder stays as it was.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import links
from sphinx.cmd.build import main as sphinx_build

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

MARK = ".dockerlab"


def build(folder: Path) -> int:
    """Build the site into a folder, in place of an earlier one, and check its links.

    Returns:
        0: built; 1: not built, and why is printed.
    """
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()) and not is_made_here(folder):
        print(
            f"{folder} holds other things than a site that was made there. Name a folder that is empty or new.",
            file=sys.stderr,
        )
        return 1
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".site-", dir=folder.parent) as work:
        site = Path(work) / "site"
        options = ["--quiet", "--fail-on-warning", "--nitpicky", "-c", str(HERE), "-d", f"{work}/doctrees"]
        if sphinx_build([*options, str(ROOT), str(site)]):
            return 1
        if broken := links.broken(site):
            print(*broken, f"{len(broken)} broken links", sep="\n", file=sys.stderr)
            return 1
        (site / MARK).write_text(f"{folder}\n")
        shutil.rmtree(folder, ignore_errors=True)
        site.rename(folder)
    print(f"The site is in {folder}. To read it: {sys.executable} -m http.server --bind 127.0.0.1 -d {folder}")
    return 0


def is_made_here(folder: Path) -> bool:
    """Whether an earlier site was written to this folder, and to no other: it carries a mark that says so."""
    mark = folder / MARK
    return mark.is_file() and mark.read_text() == f"{folder}\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python workshop/site", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the site is written")
    sys.exit(build(parser.parse_args().folder))
