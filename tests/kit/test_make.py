"""What `make` does with a kit: its arguments, word for word, with a Python and a uv that only write them down."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import python_script
from dockerlab import folders
from kit.conftest import write_kit

ROOT = folders.NOTEBOOKS.parent

PLAYED = f"""\
{python_script.HEAD}\
import json, os, subprocess, sys
python, arguments = {sys.executable!r}, sys.argv[1:]
with open(os.environ["SAID"], "a") as said:
    known = {{name: os.environ.get(name) for name in ("UV_SYSTEM_CERTS", "PIP_CERT")}}
    print(json.dumps([os.path.basename(sys.argv[0]), arguments, known]), file=said)
if arguments[:1] == ["-c"] or "check" in arguments:
    sys.exit(subprocess.run([python, "-I", "-S", *arguments]).returncode)
if arguments[:2] == ["-m", "venv"]:
    os.makedirs(".venv/bin", exist_ok=True)
    for name in ("uv", "python"):
        os.path.lexists(f".venv/bin/{{name}}") or os.link(sys.argv[0], f".venv/bin/{{name}}")
sys.exit("--disable-pip-version-check" in arguments and os.environ.get("OLD_PIP", 0))
"""


class Clone:
    """A clone with what `make .venv/ready` reads, and nothing more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "notebooks/dockerlab/engine").mkdir(parents=True)
        for name in ("Makefile", "requirements.txt", "pyproject.toml", "notebooks/dockerlab/engine/portable.py"):
            shutil.copy2(ROOT / name, folder / name)
        self.python = folder / "played-python"
        self.python.write_text(PLAYED)
        self.python.chmod(0o755)

    def make(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "SAID": str(self.folder / "said"), **more}
        return subprocess.run(
            ["make", ".venv/ready", "PYTHON=./played-python", *arguments],
            cwd=self.folder, env=environ, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    @property
    def said(self) -> list[tuple[str, list[str], dict[str, str | None]]]:
        """What was called with which arguments, and some of its environment."""
        return [tuple(json.loads(line)) for line in (self.folder / "said").read_text().splitlines()]


@pytest.mark.parametrize("place", ["it's a café", 'a, "b"'])
def test_a_kit_is_used_wherever_it_lies(tmp_path, place):
    clone = Clone(tmp_path / place / "clone")
    kit = write_kit(tmp_path / place / "kit", {"wheels/pip-9-py3-none-any.whl": 10})
    done = clone.make(f"DOCKERLAB_KIT={kit}")
    assert done.returncode == 0, done.stderr
    wheels = (kit / "wheels").as_uri()
    with_pip = next(arguments for _, arguments, _ in clone.said if "install" in arguments)
    assert with_pip[0] == f"{kit}/wheels/pip-9-py3-none-any.whl/pip"
    assert with_pip[with_pip.index("--find-links") + 1] == wheels
    [with_uv] = [arguments for name, arguments, _ in clone.said if name == "uv"]
    assert with_uv[with_uv.index("--find-links") + 1] == wheels
    assert "--no-index" in with_pip
    assert "--no-index" in with_uv


def test_a_kit_in_the_clone_is_found_and_one_beside_it_is_not(tmp_path):
    clone = Clone(tmp_path / "clone")
    write_kit(tmp_path / "kit", {"wheels/pip-9-py3-none-any.whl": 10})
    assert clone.make().returncode == 0
    assert not any("--no-index" in arguments for _, arguments, _ in clone.said)
    (clone.folder / "said").unlink()
    own = write_kit(clone.folder / "kit", {"wheels/pip-9-py3-none-any.whl": 10})
    assert clone.make("--always-make").returncode == 0
    check = ["-B", "notebooks/dockerlab/engine/portable.py", "check", str(own)]
    assert check in [arguments for _, arguments, _ in clone.said]
    assert clone.make("--always-make", "DOCKERLAB_KIT=nowhere").returncode != 0


def test_uv_uses_the_system_s_certificates_and_so_does_a_pip_that_had_not(tmp_path):
    """The authority of a network that intercepts TLS is in the system's store, and in no variable."""
    clone = Clone(tmp_path / "clone")
    assert clone.make(OLD_PIP="1").returncode == 0
    first, second = [known["PIP_CERT"] for name, arguments, known in clone.said if "uv==" in arguments[-1]]
    assert first is None, "a pip that works as it is set up is left as it is"
    bundles = [Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt")]
    assert second == str(next((bundle for bundle in bundles if bundle.exists()), ""))
    assert [known["UV_SYSTEM_CERTS"] for name, _, known in clone.said if name == "uv"] == ["1"]
