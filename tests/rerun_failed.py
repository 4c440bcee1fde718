"""Run once more, and alone, what was red in the last run: `make rerun-failed`.

For CI only, on machines that are not quiet: `make test || make rerun-failed`. It hides nothing: the first run's report
stands above, what was red there and green alone is named, and what is red twice is red. A run that many tests were red
in, that left something on the engine for good, or that did not come to its end gets no second one. (What a test leaves
that fails in the middle is swept, and no obstacle.)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

AT_MOST = 5
"""So many accidents in one run are none."""

LAST_RUN = Path(".pytest_cache/v/dockerlab/last-run")


def refusal(run: dict | None) -> str:
    """Why a run gets no second one; "" where it does."""
    if not run:
        return "The last run did not come to its end."
    if run["exit_code"] != 1 or not run["red"]:  # 1: "tests were collected and run but some of the tests failed"
        return f"No test was red in the last run, which ended with exit code {run['exit_code']}."
    if run["left"]:
        return "The last run left something on the engine."
    if len(targets(run["red"])) > AT_MOST:
        return f"{len(targets(run['red']))} tests and lessons were red in the last run: that is no accident."
    return ""


def targets(red: list[str]) -> list[str]:
    """What has to run: tests by themselves, a lesson as a whole, for its cells need those before them."""
    whole = (f"{test.partition('.ipynb::')[0]}.ipynb" if ".ipynb::" in test else test for test in red)
    return list(dict.fromkeys(whole))


def main() -> int:
    try:
        run = json.loads(LAST_RUN.read_text())
    except FileNotFoundError:
        run = None
    if why := refusal(run):
        print(f"Nothing runs again. {why}")
        return 1
    once = targets(run["red"])
    print("\nRed, and now once more, alone:", *once, sep="\n  ", flush=True)
    code = subprocess.call([sys.executable, "-m", "pytest", "-m", "", *once])
    if code == 0:
        print("Red once, and green alone (look at why, in the report of the first run):", *once, sep="\n  ")
    return code


if __name__ == "__main__":
    sys.exit(main())
