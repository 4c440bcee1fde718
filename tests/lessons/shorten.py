"""The part of a lesson that some of its cells need, so that a proof need not execute all that stands before them.

A cell that is left out leaves what costs nothing and what the rest uses: imports, definitions, assignments that call
nothing. What a cell needs is read from the names in it, and from the names that the functions it calls use. What it
needs without a name (a container that another cell has started, a request in a log) is written down in `UNNAMED`.

None of this has to be believed. `seed.py` executes what is left of a lesson without any fault, too: it must be green.
"""

from __future__ import annotations

import ast
import builtins
import copy
import hashlib
import symtable
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from rules import code_cells

UNNAMED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "00_start_here": {
        "processes": ("start",),
        "claim-processes": ("start",),
        "request": ("start",),
        "stop": ("start",),
        "claim-stop": ("stop",),
    },
    "01_project_structure": {
        "init-measure": ("init-build",),
        "claim-named": ("named",),
        "claim-careless": ("careless",),
        "deleted": ("careless",),
        "claim-deleted": ("deleted",),
        "claim-ignored": ("ignored",),
        "claim-any-folder": ("any-folder",),
    },
    "03_exec_or_shell": {
        "stop-exec": ("start-exec",),
        "claim-exec": ("stop-exec",),
        "stop-shell": ("start-shell",),
        "claim-shell": ("stop-shell",),
        "scripts": ("start-exec",),
        "side-by-side": ("scripts",),
        "init": ("scripts",),
        "flight": ("start-exec", "start-shell"),
        "drain": ("start-exec",),
        "predict-check": ("scripts",),
    },
    "02_build_and_run": {
        "what-is-there": ("build-image",),
        "claim-build": ("build-image",),
        "claim-dot": ("dot",),
        "run": ("build-image",),
        "claim-run": ("run",),
        "ports": ("run",),
        "claim-ports": ("ports",),
        "taken": ("run",),
        "claim-taken": ("taken",),
        "claim-log": ("run",),
        "claim-command": ("build-image",),
        "writes": ("ports",),
        "lasts": ("writes",),
        "claim-writes": ("lasts",),
        "lives": ("build-image",),
        "claim-lives": ("lives",),
    },
    "04_layer_cache": {"again": ("first-build",), "dependency": ("everything",), "touched": ("dependency",)},
    "05_compose": {
        "ready": ("build",),
        "command": ("build",),
        "stop": ("build",),
        "restart": ("build",),
        "memory": ("build",),
        "fail": ("migrate",),
    },
    "06_tls_proxy": {"matrix": ("first",), "forgery": ("matrix",), "host": ("matrix",), "prefix": ("matrix",)},
    "07_replicas": {"deploy-first": ("init",), "sick": ("shell",)},
    "08_production_image": {"cold": ("lock",), "code-change": ("cold",), "secrets": ("write-secrets",)},
}
"""By lesson and cell: the cells that it needs, and uses no name of."""

SHOWS = {"print", "display"}


@dataclass(frozen=True)
class Statement:
    """A statement of a cell, outside of all functions.

    Attributes:
        text: its code.
        binds: the names that it gives a value.
        always: those of them that it gives one in any case.
        uses: the names that it needs.
        acts_on: the names that are used where it does something for the effect alone.
        is_function: whether it defines a function or a class.
        is_import: whether it imports.
        is_free: whether it costs nothing, so that it may stand without the rest of its cell.
    """

    text: str
    binds: frozenset[str]
    always: frozenset[str]
    uses: frozenset[str]
    acts_on: frozenset[str]
    is_function: bool
    is_import: bool
    is_free: bool


def shortened(lesson: str, notebook: NotebookNode, ids: Collection[str], whole: Collection[str] = ()) -> NotebookNode:
    """A copy of a lesson with what some of its cells need, and nothing after the last of them.

    Args:
        lesson: its name.
        notebook: the lesson.
        ids: of the cells.
        whole: the ids of cells that stay, too, as far as they stand before.
    """
    cells = code_cells(notebook)
    last = max(number for number, cell in enumerate(cells) if cell.id in ids)
    kept = _needed(cells[: last + 1], UNNAMED.get(lesson, {}), {cells[0].id, *ids, *whole})
    shorter = copy.deepcopy(notebook)
    shorter.cells = [cell for cell in code_cells(shorter) if kept.get(cell.id)]
    for cell in shorter.cells:
        cell.source = kept[cell.id]
    return shorter


def digest(notebook: NotebookNode) -> str:
    """What tells the code of a lesson from any other."""
    code = "\0".join(f"{cell.id}\0{cell.source}" for cell in code_cells(notebook))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def names_of_none(notebook: NotebookNode) -> set[str]:
    """The names that are used in a lesson, and given a value nowhere before."""
    everything = [one for cell in code_cells(notebook) for one in _statements(cell.source)]
    bound = set().union(*(one.binds for one in everything if one.is_function))
    found = set().union(*(one.uses for one in everything if one.is_function)) - set().union(
        *(one.binds for one in everything)
    )
    for one in everything:
        found |= set() if one.is_function else one.uses - bound
        bound |= one.binds
    return found - {*vars(builtins), *SHOWS, "get_ipython"}


def _needed(cells: list[NotebookNode], unnamed: Mapping[str, tuple[str, ...]], ids: set[str]) -> dict[str, str]:
    """The code that stays of each cell, by its id."""
    statements = {cell.id: list(_statements(cell.source)) for cell in cells}
    everything = list(chain.from_iterable(statements.values()))
    functions: dict[str, set[str]] = {}
    for one in everything:
        for name in one.binds if one.is_function else ():
            functions.setdefault(name, set()).update(one.uses)
    fixed = {*functions, *vars(builtins), *SHOWS, "get_ipython"}
    fixed |= set().union(*(one.binds for one in everything if one.is_import))

    def with_those_of_functions(names: Collection[str]) -> set[str]:
        found, new = set(), set(names)
        while new:
            found |= new
            new = set().union(*(functions.get(name, ()) for name in new)) - found
        return found

    # Cells that need nothing but each other, and no engine: they write files, and stay. They take no time.
    preparing, known = set(), set(fixed)
    for cell in cells[1:]:
        own = statements[cell.id]
        uses = with_those_of_functions(_from_others(own))
        if not {"claim", "predict"} & {*cell.metadata.get("tags", [])} and uses <= known and not _types_docker(own):
            preparing.add(cell.id)
            known |= set().union(*(one.binds for one in own))

    needed: set[str] = set()
    kept: dict[str, str] = {}
    for cell in reversed(cells):
        own = statements[cell.id]
        rest = [one for one in own if not one.is_free]
        binds = set().union(*(one.binds for one in rest))
        acts_on = with_those_of_functions(set().union(*(one.acts_on for one in rest))) - fixed - {"lab"}
        if cell.id in ids or (rest and (cell.id in preparing or (binds | acts_on) & needed)):
            ids = ids | set(unnamed.get(cell.id, ()))
            needed -= set().union(*(one.always for one in own))
            needed |= with_those_of_functions(_from_others(own))
            kept[cell.id] = cell.source
            continue
        stay = []
        for one in reversed(own):
            if one.is_free and one.binds & needed:
                stay.insert(0, one.text)
                needed = (needed - one.always) | with_those_of_functions(one.uses)
        kept[cell.id] = "\n".join(stay)
    return kept


def _types_docker(cell: list[Statement]) -> bool:
    return any("get_ipython().system('docker " in one.text for one in cell)


def _from_others(cell: list[Statement]) -> set[str]:
    """The names that a cell needs from other cells: those that it uses before it has given them a value itself."""
    bound, found = set(), set()
    for one in cell:
        found |= one.uses - bound
        bound |= one.binds
    return found


def _statements(source: str) -> Iterator[Statement]:
    """The statements of a cell."""
    code = TransformerManager().transform_cell(source)
    costly: set[str] = set()
    for node in ast.parse(code).body:
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        text = "\n".join(code.splitlines()[first - 1 : node.end_lineno])
        binds, uses = _names(text)
        is_block = isinstance(node, ast.For | ast.While | ast.With | ast.Try | ast.If)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        if is_block or is_function:
            uses -= binds
        is_free = is_function or is_import or (_calls_nothing(node) and not uses & costly)
        costly |= set() if is_free else binds
        yield Statement(
            text,
            frozenset(binds),
            frozenset(set() if is_block else binds),
            frozenset(uses),
            frozenset(_acts_on(node)),
            is_function,
            is_import,
            is_free,
        )


def _names(text: str) -> tuple[set[str], set[str]]:
    """The names that some code gives a value, and those that it uses, in its functions, too."""
    table = symtable.symtable(text, "cell", "exec")
    symbols = table.get_symbols()
    binds = {one.get_name() for one in symbols if one.is_assigned() or one.is_imported() or one.is_namespace()}
    uses = {one.get_name() for one in symbols if one.is_referenced()}
    tables = list(table.get_children())
    while tables:
        inner = tables.pop()
        uses |= {one.get_name() for one in inner.get_symbols() if one.is_referenced() and one.is_global()}
        tables += inner.get_children()
    return binds, uses


def _calls_nothing(node: ast.stmt) -> bool:
    """Whether a statement gives names a value, and calls nothing for it."""
    if not isinstance(node, ast.Assign):
        return False
    names = all(isinstance(part, ast.Name | ast.Tuple | ast.Store) for to in node.targets for part in ast.walk(to))
    return names and not any(isinstance(part, ast.Call) for part in ast.walk(node))


def _acts_on(node: ast.AST) -> set[str]:
    """The names of what a statement may change: it calls a method or a function on it, or puts something into it."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return set()
        case ast.Expr(value=ast.Call(func=function, args=arguments)) if ast.unparse(function) not in SHOWS:
            return _loaded(function) | {one.id for one in arguments if isinstance(one, ast.Name)}
        case ast.Assign(targets=targets):
            return set().union(*map(_loaded, targets))
    inner = [part for part in ast.iter_child_nodes(node) if not isinstance(part, ast.expr)]
    return set().union(*map(_acts_on, inner))


def _loaded(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
