"""`import dockerlab` loads what every command and every lesson needs, and nothing that only some need."""

import subprocess
import sys

SLOW = {"IPython", "cryptography", "dotenv", "google", "httpx", "jsonschema", "matplotlib", "starlette", "tabulate"}
SLOW |= {"trustme", "uvicorn", "websockets", "yaml"}
"""Each takes from 30 ms to a second to load. In a notebook, IPython is there already."""

LOADED = """
import sys
import dockerlab
print(*sorted({name.partition(".")[0] for name in sys.modules}))
import dockerlab.cli
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""

ORDERS = """
import importlib, sys
for first in ("dockerlab.stop", "dockerlab.serve", "dockerlab.build", "dockerlab.audit.audit", "dockerlab.figures"):
    for name in [name for name in sys.modules if name.partition(".")[0] == "dockerlab"]:
        del sys.modules[name]
    importlib.import_module(first)
    import dockerlab
    from dockerlab import *
    from dockerlab.audit import audit
    for name in dockerlab.__all__:
        assert callable(globals()[name]), f"{name} after import {first}: {globals()[name]}"
    assert callable(audit), first
"""


def python(source):
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)


def test_nothing_slow_is_loaded_before_it_is_needed():
    done = python(LOADED)
    assert not done.stderr
    library, command = (set(line.split()) for line in done.stdout.splitlines())
    assert "dockerlab" in library
    assert not library & (SLOW | {"rich", "typer"})
    assert "typer" in command
    assert not command & SLOW


def test_the_names_of_the_laboratory_are_functions_whatever_is_imported_first():
    """`dockerlab.stop` and `dockerlab.serve` are modules, too."""
    assert not python(ORDERS).stderr
