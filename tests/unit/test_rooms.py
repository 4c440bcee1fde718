"""No room of the laboratory reaches up, no modules go in circles, and CONTRIBUTING.md shows the rooms as they are."""

import re

import pytest
import rooms


def test_no_room_knows_one_above_it():
    assert rooms.upward(rooms.arrows()) == []


def test_no_modules_import_each_other_in_a_circle():
    assert rooms.circles(rooms.arrows()) == []


@pytest.mark.parametrize(
    ("where", "line", "told"),
    [
        ("engine/discovery.py", "from ..lab import cleanup", "`engine` stands below `lab`"),
        ("lab/lab.py", "def f():\n    from ..build import lint", "`lab` stands below `build`"),  # a lazy one, too
        ("audit/checks.py", "import dockerlab.cli", "`audit` stands below `cli`"),
        ("image/contents.py", "from ..deploy import proxy", "`image` and `deploy` stand apart"),
        ("build/lint.py", "from .. import open_lab", "`build` stands below `dockerlab`"),
        ("attic.py", "from . import errors", "add `attic` to ROOMS"),
    ],
)
def test_an_arrow_that_leads_up_is_told(where, line, told, tmp_path):
    known = rooms.modules()
    name = f"dockerlab.{where.removesuffix('.py').replace('/', '.')}"
    known[name] = tmp_path / "planted.py"
    known[name].write_text(f"{line}\n")
    assert [problem for problem in rooms.upward(rooms.arrows(known)) if told in problem]


def test_a_circle_is_told(tmp_path):
    known = {f"dockerlab.{name}": tmp_path / f"{name}.py" for name in ("errors", "wait")}
    known["dockerlab.errors"].write_text("from . import wait\n")
    known["dockerlab.wait"].write_text("def f():\n    from .errors import LabError\n")
    assert rooms.circles(rooms.arrows(known)) == ["dockerlab.errors → dockerlab.wait → dockerlab.errors"]


def test_the_picture_is_of_the_rooms_as_they_are():
    assert rooms.picture() in (rooms.ROOT / "CONTRIBUTING.md").read_text(), "put `python tests/rooms.py` in its place"


def test_each_place_that_the_page_names_is_there():
    """The places of the first table lead from the laboratory's folder, or from the repository's."""
    page = (rooms.ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`([\w./]+(?:\.(?:py|cfg|json)|/))`", page))
    folders = [rooms.ROOT / "tests", *(rooms.ROOT / "tests").iterdir(), rooms.PLACES[0] / "audit"]
    beside = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
    roots = (rooms.ROOT, rooms.PLACES[0])
    assert [name for name in named if name not in beside and not any((root / name).exists() for root in roots)] == []


def test_no_two_things_have_one_name(tmp_path):
    assert rooms.doubled() == []
    known = {f"dockerlab.{room}.stop": tmp_path / room / "stop.py" for room in ("run", "audit")}
    for path in known.values():
        path.parent.mkdir()
        path.write_text("class Stop: ...\n")
    where = "is in dockerlab.run.stop and in dockerlab.audit.stop"
    assert rooms.doubled(known) == [f"the module stop {where}", f"the class Stop {where}"]


def test_what_is_imported_is_declared(tmp_path):
    assert rooms.undeclared() == []
    (tmp_path / "planted.py").write_text("def f():\n    import os, pygments.lexers\n")
    assert rooms.undeclared({"dockerlab.planted": tmp_path / "planted.py"}) == ["dockerlab.planted imports pygments"]
