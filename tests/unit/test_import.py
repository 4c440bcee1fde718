"""What `import dockerlab` loads and asks for: nothing slow before it is needed, and nothing that only Unix has."""

import subprocess
import sys

SLOW = {"IPython", "cryptography", "dotenv", "google", "httpx", "jsonschema", "matplotlib", "starlette", "tabulate"}
SLOW |= {"trustme", "uvicorn", "websockets", "yaml"}
"""Each takes from 30 ms to a second to load. In a notebook, IPython is there already."""

LOADED = """
import sys
import dockerlab
print(*sorted({name.partition(".")[0] for name in sys.modules}))
print(*sys.modules)
import dockerlab.cli
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""

ORDERS = """
import importlib, sys
for first in ("dockerlab.run.stop", "dockerlab.run.container", "dockerlab.audit.auditor"):
    for name in [name for name in sys.modules if name.partition(".")[0] == "dockerlab"]:
        del sys.modules[name]
    importlib.import_module(first)
    import dockerlab
    from dockerlab.audit import audit
    for name in {*dockerlab.__all__} - {"layers", "timeline"}:  # figures are loaded when they are asked for
        assert callable(getattr(dockerlab, name)), f"{name} after import {first}: {getattr(dockerlab, name)}"
    assert callable(audit), first
"""


def python(source):
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)


def test_nothing_slow_is_loaded_before_it_is_needed():
    done = python(LOADED)
    assert not done.stderr
    library, modules, command = (set(line.split()) for line in done.stdout.splitlines())
    assert "dockerlab" in library
    assert "dockerlab.engine.discovery" in modules
    assert not {name for name in modules if name.startswith("dockerlab.engine.own")}  # most readers have an engine
    assert not library & (SLOW | {"rich", "typer"})
    assert "typer" in command
    assert not command & SLOW


def test_the_names_of_the_laboratory_are_functions_whatever_is_imported_first():
    """No function has the place of a module."""
    assert not python(ORDERS).stderr


UNIX_ONLY = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
"""Modules of the standard library that Windows does not have."""

IMPORT_ALL = f"""
import builtins, importlib, pkgutil
known = builtins.__import__

def as_on_windows(name, globals=None, *rest):
    # Other packages ask for what their own system has; on Windows, these would ask for something else.
    if name in {UNIX_ONLY} and (globals or {{}}).get("__name__", "").startswith("dockerlab"):
        raise ModuleNotFoundError(f"No module named {{name!r}}")
    return known(name, globals, *rest)

builtins.__import__ = as_on_windows
import dockerlab
for module in pkgutil.walk_packages(dockerlab.__path__, "dockerlab."):
    # The probe runs in the container that is audited, and not here.
    if module.name != "dockerlab.audit.probe.sitecustomize":
        importlib.import_module(module.name)
        print(module.name)
"""


def test_without_the_modules_that_only_unix_has():
    done = python(IMPORT_ALL)
    assert done.returncode == 0, done.stderr[-2000:]
    assert {"dockerlab.engine.own.embedded", "dockerlab.cli", "dockerlab.engine.kit"} <= set(done.stdout.split())
