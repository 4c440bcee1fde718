"""The rooms of the laboratory, in the order in which they stand on one another: a room knows those before it only.

`python tests/rooms.py` prints the picture that CONTRIBUTING.md shows; with `check`, what is wrong, as `make lint` does.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PLACES = (ROOT / "notebooks" / "dockerlab", ROOT / "workshop" / "dockerlab_kit")

ROOMS = [
    ("errors", "what can go wrong"),
    ("records", "what was observed, in units"),
    ("wait", "one way to wait"),
    ("labels", "what is ours on an engine"),
    ("folders", "what is ours on the disk"),
    ("archives", "files as a tar archive"),
    ("engine", "find an engine, or bring one"),
    ("lab", "what one lesson holds open"),
    ("build", "an image from a Dockerfile"),
    ("run", "one container"),
    ("deploy", "Compose, proxy, Swarm"),
    ("image", "what an image holds"),
    ("claims", "what lessons claim; exercises"),
    ("figures", "pictures and tables of records"),
    ("audit", "a project of your own"),
    ("dockerlab_kit", "the offline kit: made, served"),
    ("cli", "the command line"),
]
"""Each room's name, and what it is for."""

APART = [("deploy", "image"), ("figures", "lab"), ("figures", "engine")]
"""Rooms that know nothing of each other, though one stands after the other."""


def modules() -> dict[str, Path]:
    """Each module of the laboratory, by its dotted name; a package by its own."""
    found = {}
    for place in PLACES:
        for path in sorted(place.rglob("*.py")):
            name = ".".join(path.relative_to(place.parent).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """The modules of ours that a module imports, wherever in it and whatever for, with the line."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            for alias in node.names:
                target = f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base
                if target in known and target != name:
                    yield target, node.lineno


def room_of(module: str) -> str:
    """The room that a module is in; the name of the whole where it is the front door, `dockerlab` itself."""
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] or first if first == "dockerlab" else first


def arrows(known: dict[str, Path] | None = None) -> list[tuple[str, str, int]]:
    """All imports of ours: the module that imports, the one that is imported, and the line."""
    known = modules() if known is None else known
    return [(name, target, line) for name, path in known.items() for target, line in imports(name, path, known)]


def upward(found: list[tuple[str, str, int]]) -> list[str]:
    """One sentence for each import that leads up, or into a room that is apart."""
    order = [room for room, _ in ROOMS]
    told = []
    for name, target, line in found:
        here, there = room_of(name), room_of(target)
        if here == "dockerlab" or here == there:  # the front door opens every room
            continue
        if here not in order:
            told.append(f"{name} is in no room: add `{here}` to ROOMS in tests/rooms.py.")
        elif there == "dockerlab" or order.index(there) > order.index(here):
            told.append(f"{name}, line {line}, imports {target}: `{here}` stands below `{there}`.")
        elif (here, there) in APART or (there, here) in APART:
            told.append(f"{name}, line {line}, imports {target}: `{here}` and `{there}` stand apart.")
    return told


def circles(found: list[tuple[str, str, int]]) -> list[str]:
    """Modules that import each other, in whatever round."""
    known: dict[str, set[str]] = {}
    for name, target, _ in found:
        known.setdefault(name, set()).add(target)
    told, done = [], set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            told.append(" → ".join((*way[way.index(name) :], name)))
        elif name not in done:
            for target in sorted(known.get(name, ())):
                walk(target, (*way, name))
            done.add(name)

    for name in sorted(known):
        walk(name, ())
    return told


def doubled(known: dict[str, Path] | None = None) -> list[str]:
    """Modules with one name, and classes with one name."""
    places: dict[str, list[str]] = {}
    for name, path in (modules() if known is None else known).items():
        if path.name != "__init__.py":
            places.setdefault(f"the module {path.stem}", []).append(name)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(f"the class {node.name}", []).append(name)
    return [f"{what} is in {' and in '.join(where)}" for what, where in places.items() if len(where) > 1]


def undeclared(known: dict[str, Path] | None = None) -> list[str]:
    """The packages that the laboratory imports and that pyproject.toml does not name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    sources = metadata.packages_distributions()
    told = []
    for name, path in (modules() if known is None else known).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for top in (
                {one.partition(".")[0] for one in named} - sys.stdlib_module_names - {"dockerlab", "dockerlab_kit"}
            ):
                if not declared & {canonicalize_name(one) for one in sources.get(top, [])}:
                    told.append(f"{name} imports {top}")
    return told


def picture() -> str:
    """The rooms and their arrows, in Mermaid. An arrow that others imply is left out."""
    direct: dict[str, set[str]] = {room: set() for room, _ in ROOMS}
    for name, target, _ in arrows():
        here, there = room_of(name), room_of(target)
        if here != there and here in direct and there in direct:
            direct[here].add(there)

    def below(room: str) -> set[str]:
        return direct[room] | {deep for one in direct[room] for deep in below(one)}

    lines = [
        "```mermaid",
        "flowchart TD",
        "    accTitle: The rooms of the laboratory",
        "    accDescr: Each room with arrows to those that it imports, from the command line at the top down to errors",
    ]
    lines += [f'    {room}["<b>{room}</b><br>{what}"]' for room, what in reversed(ROOMS)]
    for room, _ in reversed(ROOMS):
        implied = {deep for one in direct[room] for deep in below(one)}
        lines += [f"    {room} --> {target}" for target in sorted(direct[room] - implied)]
    return "\n".join([*lines, "```"])


if __name__ == "__main__":
    if sys.argv[1:] == ["check"]:
        sys.exit("\n".join(upward(arrows()) + circles(arrows()) + doubled() + undeclared()) or 0)
    print(picture())
