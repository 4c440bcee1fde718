"""Projects that mean harm, or are broken: the audit ends within its time, and leaves nothing and a machine that works.

What forks or writes "without end" gives up far beyond the audit's limits, so that a missing limit makes a test red and
not a machine dead. What takes what it can get of the machine is marked `alone`, and no other test runs beside it.
"""

import os
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import audits
import psutil
import pytest
from dockerlab import labels
from dockerlab.audit import limits
from dockerlab.errors import BuildFailed

pytestmark = [pytest.mark.prove, pytest.mark.proves("hostile inputs")]
alone = pytest.mark.alone

GRACE_SECONDS = 25
"""What an audit may take beyond its --timeout: to kill containers, to clean up, to start Python on a busy machine."""

SPACE_BYTES = 5 * 10**9
"""What the disk may have less afterwards: others use it, too, and the build cache stays while a lab is open."""

FROM = "ARG BASE_IMAGE=python:3.13.9-slim\nFROM ${BASE_IMAGE}\n"
SERVED = """WORKDIR /code
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY app app
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"]
"""
BOMB = """
import os, sys, time
held = 0
while held < 6000:  # what the audit allows is far below
    try:
        if not os.fork():
            time.sleep(600)
            os._exit(0)
        held += 1
    except OSError:
        time.sleep(0.1)
print("nothing has held me", flush=True)
"""


@pytest.fixture
def project(tmp_path) -> Path:
    """A project that works, to be spoilt."""
    folder = tmp_path / "project"
    shutil.copytree(audits.FOLDER / "workers" / "app", folder / "app")
    shutil.copy(audits.FOLDER / "workers" / "requirements.txt", folder)
    (folder / "Dockerfile").write_text(FROM + SERVED)
    return folder


@pytest.fixture(autouse=True)
def usable_afterwards(client, request):
    """The engine starts and removes a container as before. Where nobody else uses the disk, it is as free as before."""
    data = Path(client.info()["DockerRootDir"])
    data = data if data.is_dir() else Path("/")
    free = shutil.disk_usage(data).free
    yield
    base = client.images.list(name=labels.BASE_REPOSITORY)[0]
    said = client.containers.run(base.id, ["echo", "usable"], remove=True, network_disabled=True)
    assert said == b"usable\n"
    if not request.node.get_closest_marker("alone"):
        return
    deadline = time.monotonic() + 30  # the engine takes snapshots of a cancelled build away after it has answered
    while shutil.disk_usage(data).free < free - SPACE_BYTES and time.monotonic() < deadline:
        time.sleep(1)
    assert shutil.disk_usage(data).free > free - SPACE_BYTES, "what was written is still there"


def build_file(project: Path, instruction: str, after: str = "") -> None:
    (project / "Dockerfile").write_text(f"{FROM}{instruction}\n{after}")


def ended(client, project: Path | str, *options: str, timeout: float, format: str = "json") -> audits.Outcome:
    """The outcome of an audit, which must end in time, speak in sentences, and leave nothing."""
    outcome = audits.run(
        project, "--timeout", f"{timeout:g}", *options, format=format, patience=timeout + 2 * GRACE_SECONDS
    )
    assert outcome.seconds < timeout + GRACE_SECONDS, outcome.told
    assert not outcome.crashed, outcome.told
    assert not audits.left(client, outcome.pid)
    return outcome


def running(mark: str) -> list[int]:
    """Processes of this machine that have `mark` in their command line. An engine elsewhere has its own."""
    return [p.pid for p in psutil.process_iter(["cmdline"]) if any(mark in word for word in p.info["cmdline"] or [])]


def gone(mark: str, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while running(mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    return not running(mark)


# --- while it is built -----------------------------------------------------------------------------------------------


def test_a_build_that_sleeps_for_ever(project, client):
    mark = f"8640{secrets.randbelow(10**9):09}"
    build_file(project, f"RUN sleep {mark}")
    outcome = ended(client, project, timeout=8)
    assert outcome.exit == 2
    assert f"RUN sleep {mark}" in outcome.told
    assert gone(mark)


@alone
def test_a_build_that_forks_without_end(project, client):
    mark = secrets.token_hex(8)
    (project / "bomb.py").write_text(BOMB)
    build_file(project, f"COPY bomb.py /{mark}.py\nRUN python3 /{mark}.py")
    outcome = ended(client, project, timeout=10)
    assert outcome.exit == 2
    assert "nothing has held me" not in outcome.told
    assert gone(mark)


@alone
def test_a_build_may_have_so_many_processes_only(project, engine, client):
    """The limit itself: the build tells how many processes it came to."""
    if not os.access("/sys/fs/cgroup", os.W_OK) or not engine.url.startswith("unix://"):
        return  # the engine is another machine's, or not ours to limit
    (project / "count.py").write_text(
        "import os, time\n"
        "time.sleep(1)  # the limit is set while the step runs\n"
        "held = 0\n"
        "try:\n"
        "    while held < 6000:\n"
        "        if not os.fork():\n"
        "            time.sleep(30)\n"
        "            os._exit(0)\n"
        "        held += 1\n"
        "except OSError:\n"
        "    pass\n"
        "raise SystemExit(f'came to {held} processes')\n"
    )
    build_file(project, "COPY count.py .\nRUN python3 count.py")
    outcome = ended(client, project, timeout=60)
    assert outcome.exit == 2
    came_to = int(outcome.told.split("came to ")[1].split()[0])
    assert came_to <= limits.BUILD_PROCESSES


@alone
def test_a_build_that_writes_without_end(project, client):
    """It writes for as long as it may, up to 8 GB, and what it wrote is gone afterwards."""
    mark = secrets.token_hex(8)
    build_file(project, f"RUN head -c 8000000000 /dev/zero > /{mark}; sleep 600")
    outcome = ended(client, project, timeout=12)
    assert outcome.exit == 2
    assert gone(mark)


@alone
def test_a_disk_that_is_nearly_full_ends_the_build(project, client, monkeypatch):
    """The watch on the disk, with a limit that is reached after 2 GB of it."""
    build_file(project, "RUN head -c 6000000000 /dev/zero > /filler; sleep 600")
    source = (
        "from dockerlab.audit import limits\n"
        "limits.GROWTH_BYTES = 2 * 10**9\n"
        "from dockerlab.cli import app\n"
        f"app(['audit', {str(project)!r}, '--timeout', '60'])\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "GB" in done.stderr
    assert time.monotonic() - began < 55


@alone
@pytest.mark.parametrize(
    "what",
    [
        pytest.param("head -c 20000000 /dev/urandom", id="binary"),
        pytest.param("yes 'the quick brown fox jumps over the lazy dog' | head -c 1000000000", id="1 GB"),
        pytest.param("printf '\\033[2J\\033]0;title\\007\\033[31m[bold]'; head -c 100000000 /dev/zero", id="one line"),
    ],
)
def test_a_build_that_prints(what, project, client):
    (project / "Dockerfile").write_text(f"{FROM}{SERVED}RUN {what}\n")
    outcome = ended(client, project, "--check", "builds", timeout=90)
    assert outcome.exit == 0, outcome.told
    (project / "Dockerfile").write_text(f"{FROM}{SERVED}RUN {what}; echo the reason; exit 7\n")
    outcome = ended(client, project, "--check", "builds", timeout=90)
    assert outcome.exit == 2
    assert len(outcome.told) < 20_000
    assert "the reason" in outcome.told
    assert not any(ord(character) < 32 and character not in "\n\t" for character in outcome.told)


# --- the context -----------------------------------------------------------------------------------------------------


@alone
def test_a_context_of_1_gb(project, client):
    with (project / "big.bin").open("wb") as file:
        file.truncate(10**9)
    outcome = ended(client, project, *audits.checks(["builds", "build-context"]), timeout=90)
    assert outcome.verdicts == {"builds": "pass", "build-context": "warn"}
    assert "big.bin" in outcome.said("build-context")


def test_symlinks_that_lead_out_of_the_context(project, client, tmp_path):
    """A link is sent as a link. What it leads to is another's."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("correct-horse-battery-staple-7391")
    (project / "app" / "leak").symlink_to(tmp_path / "outside" / "secret.txt")
    (project / "app" / "folder").symlink_to(tmp_path / "outside")
    (project / "app" / "loop").symlink_to("loop")
    (project / "app" / "round").symlink_to(".")
    (project / "Dockerfile").write_text(
        FROM + "COPY app app\nRUN ! grep -rs correct-horse app && test -L app/leak && test -L app/folder\n" + SERVED
    )
    outcome = ended(client, project, "--check", "builds", "--check", "build-context", timeout=60)
    assert outcome.verdicts == {"builds": "pass", "build-context": "pass"}, outcome.told


def test_files_that_cannot_be_sent(project, client):
    """Opening a pipe waits for somebody who writes; a socket cannot be opened at all."""
    os.mkfifo(project / "app" / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(project / "app" / "socket"))
        outcome = ended(client, project, timeout=60)
    assert outcome.exit == 0, outcome.told


@pytest.mark.parametrize("name", ["two words", "café ☕ プロジェクト", "-v", "quote'\"$(id)`id`", "x" * 200, "a=b,c:d"])
def test_names(name, project, client):
    folder = project.rename(project.parent / name)
    odd = folder / "app" / f"{name} file.txt"
    odd.write_text(name)
    only = audits.checks(["builds", "starts", "build-context"])
    outcome = ended(client, folder, *only, timeout=60)
    assert outcome.verdicts == {"builds": "pass", "starts": "pass", "build-context": "pass"}, outcome.told


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(os.urandom(2000), id="random bytes"),
        pytest.param(b"FROM ${BASE_IMAGE}\n", id="no base"),
        pytest.param(b"RUN echo first\n", id="no FROM"),
        pytest.param(b"# " + b"x" * 20_000_000 + b"\n", id="20 MB of comment"),
        pytest.param(FROM.encode() + b'CMD ["uvicorn"\n', id="broken JSON"),
        pytest.param(FROM.encode() + b'ENTRYPOINT ["/no/such/program"]\n', id="no such program"),
        pytest.param(FROM.encode() + b"RUN echo \\\n", id="a line that goes on"),
        pytest.param(b"FROM scratch\nCOPY requirements.txt .\n", id="nothing to start"),
    ],
)
def test_dockerfiles_that_are_none(text, project, client):
    (project / "Dockerfile").write_bytes(text)
    outcome = ended(client, project, timeout=40)
    assert outcome.exit == 2
    assert 0 < len(outcome.told) < 20_000


def test_a_folder_named_dockerfile(project, client):
    (project / "Dockerfile").unlink()
    (project / "Dockerfile").mkdir()
    assert ended(client, project, timeout=20).exit == 2


def test_a_dockerfile_behind_a_symlink(project, client, tmp_path):
    (project / "Dockerfile").rename(tmp_path / "elsewhere")
    (project / "Dockerfile").symlink_to(tmp_path / "elsewhere")
    outcome = ended(client, project, "--check", "starts", timeout=60)
    assert outcome.verdicts == {"starts": "pass"}, outcome.told


# --- while it runs ---------------------------------------------------------------------------------------------------

IN_BACKGROUND = """
import threading
from fastapi import FastAPI

app = FastAPI()

def harm() -> None:
    {harm}

threading.Thread(target=harm, daemon=True).start()
"""


@alone
def test_an_application_that_forks_without_end(project, client):
    (project / "app" / "main.py").write_text(BOMB)
    outcome = ended(client, project, timeout=15)
    assert outcome.exit == 2
    assert "nothing has held me" not in outcome.told


@alone
def test_an_application_that_forks_while_it_serves(project, client):
    (project / "app" / "main.py").write_text(
        IN_BACKGROUND.format(harm="exec(compile(open('/code/app/bomb.py').read(), 'bomb', 'exec'))")
    )
    (project / "app" / "bomb.py").write_text(BOMB)
    outcome = ended(client, project, timeout=90)
    assert outcome.exit in (0, 1, 2)


@alone
def test_an_application_that_allocates_without_end(project, client):
    (project / "app" / "main.py").write_text("held = []\nwhile True:\n    held.append(bytearray(b'x') * 10_000_000)\n")
    outcome = ended(client, project, timeout=40)
    assert outcome.exit == 2
    assert "memory" in outcome.told.lower()


@alone
def test_an_application_that_allocates_while_it_serves(project, client):
    (project / "app" / "main.py").write_text(
        IN_BACKGROUND.format(
            harm="import time\n    held = []\n    while True:\n"
            "        held.append(bytearray(b'x') * 20_000_000)\n        time.sleep(0.1)"
        )
    )
    outcome = ended(client, project, timeout=90)
    assert outcome.exit in (1, 2)


@alone
def test_an_application_that_prints_without_end(project, client):
    (project / "app" / "main.py").write_text(
        IN_BACKGROUND.format(harm="while True: print('the quick brown fox ' * 50, flush=True)")
    )
    outcome = ended(client, project, timeout=120)
    assert outcome.exit in (0, 1)
    assert outcome.verdicts["starts"] == "pass"


@alone
def test_an_application_that_prints_and_never_listens(project, client):
    (project / "app" / "main.py").write_text("while True:\n    print('the quick brown fox ' * 50, flush=True)\n")
    outcome = ended(client, project, timeout=15)
    assert outcome.exit == 2
    assert len(outcome.told) < 50_000


def test_an_application_that_never_answers(project, client):
    """It listens, takes the connection, and says nothing."""
    (project / "app" / "main.py").write_text(
        "import socket, time\ns = socket.create_server(('0.0.0.0', 8000))\nwhile True:\n    time.sleep(1)\n"
    )
    outcome = ended(client, project, timeout=15)
    assert outcome.exit == 2


@alone
def test_an_application_that_answers_without_end(project, client):
    """Each answer is a stream that never ends, that of `/`, too."""
    (project / "app" / "main.py").write_text(
        "import asyncio\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        return\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    while True:\n"
        "        await send({'type': 'http.response.body', 'body': b'x' * 65536, 'more_body': True})\n"
        "        await asyncio.sleep(0)\n"
    )
    outcome = ended(client, project, timeout=60)
    assert outcome.exit in (0, 1, 2)


def test_an_application_that_redirects_to_itself(project, client):
    (project / "app" / "main.py").write_text(
        "from fastapi import FastAPI\nfrom fastapi.responses import RedirectResponse\napp = FastAPI()\n\n"
        "@app.get('/{path:path}')\ndef again(path: str) -> RedirectResponse:\n    return RedirectResponse(f'/{path}')\n"
    )
    outcome = ended(client, project, "--check", "starts", timeout=60)
    assert outcome.verdicts == {"starts": "pass"}


def test_a_timeout_that_ends_in_the_experiments(project, client):
    """The image is built; the application takes longer to start than the audit may."""
    (project / "app" / "main.py").write_text("import time\ntime.sleep(600)\n")
    outcome = ended(client, project, timeout=18)
    assert outcome.exit == 2
    assert BuildFailed.__name__ not in outcome.told


# --- what it says, and what it may -----------------------------------------------------------------------------------

MEMORY_KB = 400_000
"""What an audit may take of this machine's memory: Python and the laboratory take some 100 MB of it."""


def largest_audit_kb() -> int:
    """The most memory that an audit of this test process has taken so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


@alone
def test_an_application_that_answers_without_end_in_the_place_of_the_probe(project, client):
    (project / "app" / "main.py").write_text(
        "import asyncio\n"
        "START = {'type': 'http.response.start', 'status': 200, 'headers': [(b'x-dockerlab-probe', b'1')]}\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        return\n"
        "    await receive()\n"
        "    gone = asyncio.ensure_future(receive())\n"
        "    await send(START)\n"
        "    while not gone.done():\n"
        "        await send({'type': 'http.response.body', 'body': b'[' * 65536, 'more_body': True})\n"
        "        await asyncio.sleep(0)\n"
    )
    outcome = ended(client, project, *audits.checks(["starts", "behind-tls-proxy"]), timeout=60)
    assert outcome.verdicts == {"starts": "pass", "behind-tls-proxy": "not measured"}, outcome.told
    assert "something else answers in the place of the probe" in outcome.said("behind-tls-proxy")
    assert largest_audit_kb() < MEMORY_KB


@alone
def test_a_health_check_that_prints_without_end(project, client):
    with (project / "Dockerfile").open("a") as file:
        file.write("HEALTHCHECK CMD yes\n")
    outcome = ended(client, project, *audits.checks(["health-check", "stops-on-sigterm"]), timeout=60)
    assert outcome.verdicts == {"health-check": "fail", "stops-on-sigterm": "pass"}, outcome.told
    assert "it printed more than 1 MB" in outcome.said("health-check")
    assert largest_audit_kb() < MEMORY_KB


def test_what_the_report_says_of_limits_is_so(project, client):
    """The application starts only where it is held."""
    (project / "app" / "main.py").write_text(
        "from pathlib import Path\nfrom fastapi import FastAPI\n"
        "assert 'NoNewPrivs:\\t1' in Path('/proc/self/status').read_text(), 'privileges'\n"
        "quotas = [Path('/sys/fs/cgroup/cpu.max'), Path('/sys/fs/cgroup/cpu/cpu.cfs_quota_us')]\n"
        "assert any(path.is_file() and path.read_text().split()[0] == '100000' for path in quotas), 'processors'\n"
        "app = FastAPI()\n"
    )
    outcome = ended(client, project, "--check", "starts", timeout=60)
    assert outcome.verdicts == {"starts": "pass"}, outcome.told
    limited = ["512 MB of memory", "1 processor", "512 processes", "no new privileges", "no mounts"]
    assert outcome.json["limited"] == limited
    assert outcome.json["not_limited"][0].startswith("the network")
