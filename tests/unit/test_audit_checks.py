"""The checks judge what was observed: they talk to no engine, and what was not observed is not measured."""

import ast
from pathlib import Path

import rooms
from dockerlab.audit.checks import CHECKS
from dockerlab.audit.observations import Observations
from dockerlab.audit.project import Project
from dockerlab.build.dockerfile import parse
from dockerlab.records import Build


def imported(path):
    """The packages and modules that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def test_nothing_below_the_checks_talks_to_an_engine():
    known = rooms.modules()
    waiting, below = ["dockerlab.audit.checks"], set()
    while waiting:
        name = waiting.pop()
        if name not in below:
            below.add(name)
            waiting += [target for target, _ in rooms.imports(name, known[name], known)]
    assert "dockerlab.audit.observations" in below
    packages = {module.partition(".")[0] for name in below for module in imported(known[name])}
    assert not packages & {"docker", "requests", "httpx", "subprocess"}


def test_what_was_not_observed_is_not_measured():
    observed = Observations(
        Project("shop", Path("shop")), parse("FROM a\n"), Build("audit", "i", "id", 1, (), "buildkit", 1)
    )
    observed.reasons["idle"] = "the engine was gone"
    found = {check.id: check.find(observed) for check in CHECKS}
    assert {id_ for id_, finding in found.items() if finding.verdict != "not measured"} == {"builds"}
    assert found["pid-1"].observed == "the engine was gone"
    assert found["image-size"].observed == "it was not tried"
    assert all(finding.why.endswith(".") and "\n" not in finding.why for finding in found.values())
