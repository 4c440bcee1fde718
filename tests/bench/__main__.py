"""Speed, as ratios measured side by side in one run: `make bench`, or `python tests/bench [NAME…]`.

Each benchmark is a module `bench_NAME.py` beside this file with a function `measure() -> list[Ratio]`. Seconds depend
on the
machine; a ratio of two things measured in turn on the same machine does so much less. A target that is missed is
shown, and
the exit code tells.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402


def main() -> int:
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to run: {', '.join(names)} (all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ratios to a file, too")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}")

    ratios = []
    # Whoever measures has attempts at exercises in a workspace of their own.
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, DOCKERLAB_WORKSPACE=folder):
        for name in arguments.names or names:
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            ratios += importlib.import_module(f"bench_{name}").measure()

    table = Table("what", "measured", "against", "measured", "ratio", "target")
    for ratio in ratios:
        table.add_row(
            ratio.what,
            f"{ratio.seconds:.2f} {ratio.unit}",
            ratio.against,
            f"{ratio.against_seconds:.2f} {ratio.unit}" if ratio.against_seconds is not None else "",
            f"{ratio.value:.2f}" if ratio.value is not None else "",
            ratio.target,
            style=None if ratio.met else "bold red",
        )
    Console(width=140).print(table)
    if arguments.json:
        rows = [asdict(ratio) | {"ratio": ratio.value, "met": ratio.met} for ratio in ratios]
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if all(ratio.met for ratio in ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
