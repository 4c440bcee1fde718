"""Which steps install dependencies, and which source file is changed."""

from types import SimpleNamespace

import pytest
from dockerlab.audit import probe, rebuilds
from dockerlab.audit.install_steps import installs
from dockerlab.build import build_context
from dockerlab.errors import LabError


@pytest.mark.parametrize(
    ("instruction", "kind"),
    [
        ("RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt", "dependencies"),
        ("RUN pip install -rrequirements.txt", "dependencies"),
        ("RUN pip3 install fastapi uvicorn", "dependencies"),
        ("RUN python -m pip install 'fastapi[standard]==0.165'", "dependencies"),
        ("RUN --mount=type=cache,target=/root/.cache pip install -r requirements/prod.txt", "dependencies"),
        ("RUN uv pip install --system -r requirements.txt", "dependencies"),
        ("RUN uv sync --locked --no-install-project", "dependencies"),
        ("RUN uv sync --locked", "both"),
        ("RUN poetry install --no-root", "dependencies"),
        ("RUN poetry install", "both"),
        ("RUN pip install .", "both"),
        ("RUN pip install -e .", "both"),
        ("RUN pip install --no-deps .", "project"),
        ("RUN pip install --upgrade pip", "tool"),
        ("RUN pip install uv==0.13.9", "tool"),
        ("RUN pip install poetry && poetry install --no-root", "dependencies"),
        ("RUN apt-get update && apt-get install -y gcc", "dependencies"),
        ("RUN apk add --no-cache curl", "dependencies"),
        ("RUN pip install --index-url https://example.org fastapi", "dependencies"),
        ("RUN pip install -i https://example.org pip", "tool"),
        ("COPY requirements.txt .", ""),
        ("RUN useradd app", ""),
        ("RUN python -m compileall app", ""),
    ],
)
def test_what_a_step_installs(instruction, kind):
    assert installs(instruction) == kind


def test_the_source_file_that_makes_the_application_is_changed(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert rebuilds.source_file(tmp_path, "Dockerfile") == ""
    for name, text in {
        "setup.py": "",
        "a_helper.py": "x = 1\n",
        "src/shop/main.py": "app = FastAPI()\n",
        "tests/test_main.py": "app = FastAPI()\n",
        "ignored/main.py": "app = FastAPI()\n",
        ".dockerignore": "ignored\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert rebuilds.source_file(tmp_path, "Dockerfile") == "src/shop/main.py"
    (tmp_path / "src/shop/main.py").unlink()
    assert rebuilds.source_file(tmp_path, "Dockerfile") == "a_helper.py"


def test_a_source_file_that_is_larger_than_the_memory_is_not_read_whole(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with (tmp_path / "a.py").open("wb") as file:
        file.truncate(1 << 36)
    assert rebuilds.source_file(tmp_path, "Dockerfile") == "a.py"


def test_copying_a_context_can_be_given_up(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    source = build_context.find(tmp_path)
    with pytest.raises(LabError, match="it is over"):
        rebuilds._copy_context(source, tmp_path / "copy", SimpleNamespace(reached=lambda: "it is over"))
    assert not (tmp_path / "copy" / "Dockerfile").exists()


def test_the_probe_and_the_audit_agree_on_words_and_paths():
    guest: dict[str, str] = {}
    lines = [line for line in probe.SOURCE.read_text().splitlines() if line.startswith(("PREFIX", "STARTED", "ENDED"))]
    exec("\n".join(lines), guest)
    assert (guest["PREFIX"], guest["STARTED"], guest["ENDED"]) == (probe.PREFIX, probe.STARTED, probe.ENDED)
