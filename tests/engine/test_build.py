"""Builds on a real engine: which steps were cached, what goes wrong and how it is told, and that nothing is left."""

import _thread
import contextlib
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import docker
import docker.errors
import pytest
import requests
from dockerlab.build.builder import build
from dockerlab.errors import BuildFailed, EngineUnreachable
from dockerlab.lab import build_cache, cleanup, ledger

START = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n"


@pytest.fixture
def unique():
    """A word that no build has seen: what it is part of is not in the cache."""
    return uuid.uuid4().hex


@pytest.fixture
def project(tmp_path, unique):
    """A small project with dependencies, code and a step that takes a moment."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "requirements.txt").write_text(f"# {unique}\n")
    (folder / "app" / "main.py").write_text("app = 1\n")
    write(folder, f"COPY requirements.txt .\nRUN echo out {unique}; echo err >&2\nCOPY app app\nCMD ['true']\n")
    return folder


def write(folder, instructions, name="Dockerfile"):
    (folder / name).write_text(START + instructions)


def ran(built):
    return [step.instruction.split()[0] for step in built.steps if not step.cached]


def left(lab):
    """What of the lab is on the engine without a name: containers of steps, and images that nothing refers to."""
    label = f"dev.dockerlab.lab={lab.id}"
    return lab.client.containers.list(all=True, filters={"label": label}) + [
        image for image in lab.client.images.list(filters={"label": label}) if not image.tags
    ]


# --- what the record tells ---


def test_a_build_tells_each_step_and_makes_an_image(lab, project, unique):
    built = build(lab, project, progress=False)
    assert [step.instruction for step in built.steps] == [
        "FROM ${BASE_IMAGE}",
        "COPY requirements.txt .",
        f"RUN echo out {unique}; echo err >&2",
        "COPY app app",
    ]
    assert ran(built) == ["COPY", "RUN", "COPY"]
    assert set(built.step("RUN").log.split()) == {"out", unique, "err"}
    assert 0 < built.step("RUN").seconds < built.seconds
    assert built.context_bytes == sum(path.stat().st_size for path in project.rglob("*") if path.is_file())
    image = lab.client.images.get(built.image)
    assert (image.id, built.name, built.image) == (built.image_id, "project", lab.tag("project"))
    assert lab.labels.items() <= image.labels.items()


def test_what_has_changed_is_built_again_and_all_after_it(lab, project):
    build(lab, project, progress=False)
    assert ran(build(lab, project, progress=False)) == []
    (project / "app" / "main.py").write_text("app = 2\n")
    assert ran(build(lab, project, progress=False)) == ["COPY"]
    (project / "requirements.txt").write_text(uuid.uuid4().hex)
    assert ran(build(lab, project, progress=False)) == ["COPY", "RUN", "COPY"]
    assert ran(build(lab, project, progress=False, no_cache=True)) == ["COPY", "RUN", "COPY"]


@pytest.mark.parametrize(("between", "no_cache"), [("", False), ("ENV WORD=1\n", False), ("", True)])
def test_a_long_build_beside_it_does_not_make_a_rebuild_start_over(lab, project, unique, tmp_path, between, no_cache):
    """What both begin with has been carried out by nobody yet: see `builder.warm_cache`."""
    started = f"WORKDIR /{unique}\n"
    write(project, f"{between}{started}COPY requirements.txt .\nRUN echo {unique}\nCOPY app app\n")
    long = tmp_path / "long"
    long.mkdir()
    write(long, f"{started}RUN sleep 100 # {unique}\n")
    is_over = threading.Event()

    def build_long():
        with pytest.raises(BuildFailed, match="the test is over"):
            build(lab, long, progress=False, no_cache=no_cache, watch=lambda: "the test is over" * is_over.is_set())

    with ThreadPoolExecutor() as pool:
        holding = pool.submit(build_long)
        try:
            deadline = time.monotonic() + 60
            while not records(lab.client, f"sleep 100 # {unique}"):
                assert not holding.done()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            build(lab, project, progress=False)
            (project / "app" / "main.py").write_text("app = 2\n")
            assert ran(build(lab, project, progress=False)) == ["COPY"]
        finally:
            is_over.set()
        holding.result()


def test_warming_the_cache_leaves_no_image(lab, project, unique):
    write(project, f"WORKDIR /{unique}\nCMD ['true']\n")
    built = build(lab, project, progress=False)
    made = lab.client.images.list(all=True, filters={"label": f"dev.dockerlab.lab={lab.id}"})
    assert [image.id for image in made] == [built.image_id]


def test_warming_the_cache_takes_no_image_away(lab, project, unique):
    """To the engine, an image that ends where the next Dockerfile's prefix ends is the same, but for its labels."""
    write(project, f"WORKDIR /{unique}\n")
    first = build(lab, project, name="first", progress=False)
    (project / "Dockerfile").write_text(f"{START.strip()} AS another\nWORKDIR /{unique}\nRUN true\n")
    build(lab, project, name="second", progress=False)
    assert lab.client.images.get(first.image).id == first.image_id


def test_a_touched_file_has_not_changed(lab, project):
    build(lab, project, progress=False)
    (project / "requirements.txt").touch()
    assert ran(build(lab, project, progress=False)) == []


def test_ignored_files_do_not_reach_the_image(lab, project):
    (project / ".env").write_text("KEY=1\n")
    (project / ".dockerignore").write_text(".env\n")
    write(project, "COPY . /all\nCMD ['true']\n")
    built = build(lab, project, progress=False)
    listed = (
        lab.client.containers.run(built.image, ["ls", "-A", "/all"], remove=True, labels=lab.labels).decode().split()
    )
    assert "requirements.txt" in listed
    assert ".env" not in listed


def test_links_files_and_folders_arrive_as_they_are(lab, project):
    (project / "start.sh").write_text("#!/bin/sh\n")
    (project / "start.sh").chmod(0o750)
    (project / "out").symlink_to("/etc/hostname")
    (project / "empty").mkdir()
    write(project, "COPY . /all\n")
    built = build(lab, project, progress=False)
    command = ["sh", "-c", "cd /all; stat -c '%a %u:%g' start.sh; readlink out; ls -d empty"]
    listed = lab.client.containers.run(built.image, command, remove=True, labels=lab.labels).decode()
    assert listed == "750 0:0\n/etc/hostname\nempty\n"


def test_stages_targets_and_arguments(lab, project, unique):
    (project / "Dockerfile").write_text(
        "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS build\nARG WORD\nRUN echo $WORD > /word\n"
        f"FROM ${{BASE_IMAGE}} AS unused\nRUN exit 1 # {unique}\nFROM ${{BASE_IMAGE}}\nCOPY --from=build /word /word\n"
    )
    arguments = {"WORD": unique}
    built = build(lab, project, build_args=arguments, progress=False)
    assert [step.instruction.split()[0] for step in built.steps] == ["FROM", "RUN", "FROM", "COPY"]
    read = lab.client.containers.run(built.image, ["cat", "/word"], remove=True, labels=lab.labels)
    assert read.decode().strip() == unique
    assert ran(build(lab, project, build_args=arguments, target="build", progress=False)) == []
    assert ran(build(lab, project, build_args={"WORD": unique + "2"}, target="build", progress=False)) == ["RUN"]
    # A gap that is known: when a stage is exported that was only copied from before, the engine gives its record
    # another id, and the ledger has the old one.
    ledger.note_build_records(lab.client, records(lab.client, "echo $WORD > /word"))


def test_the_dockerfile_may_lie_elsewhere(lab, project, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere", "COPY app/main.py /\n", "web.Dockerfile")
    outside = tmp_path / "elsewhere" / "web.Dockerfile"
    assert ran(build(lab, project, dockerfile=outside, name="web", progress=False)) in (["COPY"], [])
    assert ran(build(lab, project, dockerfile="../elsewhere/web.Dockerfile", name="web", progress=False)) == []


def test_a_name_need_not_be_fit_for_a_tag(lab, project):
    built = build(lab, project, name="Exec form, 2nd try", progress=False)
    assert built.name == "Exec form, 2nd try"
    assert lab.client.images.get(built.image).tags == [lab.tag("Exec-form-2nd-try")]


def test_a_cache_mount_outlives_the_build(lab, project, unique):
    mount = f"RUN --mount=type=cache,id={unique},target=/kept "
    write(project, f"{mount}echo {unique} > /kept/word\n")
    build(lab, project, progress=False)
    write(project, f"{mount}cat /kept/word # {unique}\n")  # the id of a mount is not in a step's cache key
    assert unique in build(lab, project, progress=False).step("RUN").log


def test_builds_side_by_side_that_share_steps_tell_each_its_own(lab, tmp_path, unique):
    def one(number):
        folder = tmp_path / f"project-{number}"
        folder.mkdir()
        (folder / "requirements.txt").write_text(unique)
        (folder / "own").write_text(str(number))
        more = "COPY own /again\n" * number
        write(folder, f"COPY requirements.txt .\nRUN sleep 2 # {unique}\nCOPY own /own\n{more}")
        return build(lab, folder, progress=False)

    with ThreadPoolExecutor() as pool:
        builds = list(pool.map(one, range(3)))
    for number, built in enumerate(builds):
        assert [step.instruction.split()[0] for step in built.steps] == [
            "FROM",
            "COPY",
            "RUN",
            *["COPY"] * (1 + number),
        ]
        assert not built.steps[3].cached
    assert not all(built.step("RUN").cached for built in builds), "somebody must have done it"


# --- other builders ---


def answering(monkeypatch, client, answer):
    """Let `answer` decide what the engine says to a request for a build."""
    post = client.api._post

    def changed(url, **keywords):
        return answer(post, url, keywords) if url.endswith("/build") else post(url, **keywords)

    monkeypatch.setattr(client.api, "_post", changed)


def answering_like_podman(monkeypatch, lab, *messages):
    """Let the engine answer as Podman does, which has no BuildKit: with text, and maybe an error."""

    def answer(post, url, keywords):
        response = requests.Response()
        response.status_code = 200
        response.raw = io.BytesIO("".join(f"{json.dumps(message)}\n" for message in messages).encode())
        return response

    answering(monkeypatch, lab.client, answer)


def test_podmans_text_tells_the_same_steps(lab, project, unique, monkeypatch):
    image_id = build(lab, project, progress=False).image_id
    lines = ["STEP 1/4: FROM a\n", "STEP 2/4: COPY requirements.txt .\n", "--> Using cache 3202253289f6\n"]
    lines += [f"STEP 3/4: RUN echo out {unique}; echo err >&2\n", f"out {unique}\n", "err\n", "--> 74f2b0c4f14\n"]
    lines += ["STEP 4/4: COPY app app\n", "--> 0832e99e0e6\n", "Successfully built 0832e99e0e68\n"]
    answering_like_podman(monkeypatch, lab, *({"stream": line} for line in lines))
    built = build(lab, project, progress=False)
    assert (built.builder, built.image_id) == ("classic", image_id)
    assert [step.instruction for step in built.steps] == [
        "FROM ${BASE_IMAGE}",
        "COPY requirements.txt .",
        f"RUN echo out {unique}; echo err >&2",
        "COPY app app",
    ]
    assert ran(built) == ["RUN", "COPY"]
    assert built.step("RUN").log == f"out {unique}\nerr\n"


def test_a_failed_build_by_podman_leaves_nothing(lab, project, unique, monkeypatch):
    made = build(lab, project, progress=False).image_id
    lines = ["STEP 1/3: FROM a\n", "STEP 2/3: COPY requirements.txt .\n", f"--> {made.removeprefix('sha256:')[:12]}\n"]
    lines += [f"STEP 3/3: RUN echo out {unique}; echo err >&2\n"]
    error = {"error": f'building at STEP "RUN echo out {unique}": while running runtime: exit status 3'}
    answering_like_podman(monkeypatch, lab, *({"stream": line} for line in lines), error)
    with pytest.raises(BuildFailed, match=r"^`RUN echo out .*` ended with exit code 3"):
        build(lab, project, progress=False)
    with pytest.raises(docker.errors.ImageNotFound):
        lab.client.images.get(made)


# --- what goes wrong ---


@pytest.mark.parametrize(
    ("instructions", "seen", "do"),
    [
        ("\nRUNN true\n", "does not understand line 4 of Dockerfile: unknown instruction: RUNN", "Correct that line"),
        ("RUN echo UNIQUE; exit 3\n", "`RUN echo UNIQUE; exit 3` ended with exit code 3.", "The last lines"),
        ("COPY requirement.txt /\n", "found no requirement.txt in the build context", "There is requirements.txt"),
        ("COPY secret.txt /\n", ".dockerignore keeps it out", "add the line `!secret.txt`"),
        ("COPY --from=tools /x /x\n", "`--from=tools` names neither a stage", "FROM … AS name"),
        (
            "RUN pip install --no-index nothing-UNIQUE\n",
            "ended with exit code 1",
            "Check the name and version of nothing-",
        ),
        (
            "RUN python3 -c \"import socket; socket.getaddrinfo('UNIQUE.invalid', 80)\"\n",
            "ended with exit code 1",
            "The network inside the build",
        ),
        (
            "RUN --mount=type=tmpfs,target=/disk,size=65536 dd if=/dev/zero of=/disk/UNIQUE bs=1M count=1\n",
            "The disk was full at `RUN --mount",
            "docker system df",
        ),
    ],
    ids=["syntax", "exit code", "missing", "ignored", "stage", "pip", "network", "disk full"],
)
def test_a_failed_build_says_what_was_seen_and_what_to_do(lab, project, unique, instructions, seen, do):
    (project / "secret.txt").touch()
    (project / ".dockerignore").write_text("secret.*\n")
    write(project, instructions.replace("UNIQUE", unique))
    with pytest.raises(BuildFailed) as failure:
        build(lab, project, progress=False)
    assert seen.replace("UNIQUE", unique) in failure.value.seen
    assert do in failure.value.do
    assert left(lab) == []


@pytest.mark.parametrize(
    ("dockerfile", "seen"),
    [
        ("", "The builder refused Dockerfile: the Dockerfile"),
        ("RUN true\n", "The builder refused Dockerfile: no build stage"),
        ("FROM registry.invalid/nothing:1\n", "The base image registry.invalid/nothing:1 is not on the engine"),
    ],
)
def test_a_dockerfile_that_cannot_be_begun(lab, project, dockerfile, seen):
    (project / "Dockerfile").write_text(dockerfile)
    with pytest.raises(BuildFailed) as failure:
        build(lab, project, progress=False)
    assert failure.value.seen.startswith(seen)


def lasts(project, unique, seconds=3):
    """Write a Dockerfile whose step lasts until a moment, which is returned. After it, the same step takes no time."""
    moment = int(time.time()) + 1 + seconds
    write(project, f"RUN echo {unique}; until [ $(date +%s) -ge {moment} ]; do sleep 0.1; done\n")
    return moment


def is_cancelled(lab, project, moment):
    """Whether the engine stopped a step that lasts: one that went on is in the cache when its time is over."""
    time.sleep(max(0, moment + 1 - time.time()))
    return "RUN" in ran(build(lab, project, progress=False))


def test_a_build_that_takes_too_long_is_cancelled(lab, project, unique):
    moment = lasts(project, unique)
    began = time.monotonic()
    with pytest.raises(
        BuildFailed, match=r"did not finish within 1 s, and was cancelled\. It was running `RUN echo"
    ) as failure:
        build(lab, project, progress=False, timeout=1)
    assert time.monotonic() - began < 3
    assert failure.value.log == unique
    assert is_cancelled(lab, project, moment)


def test_an_interrupt_cancels_the_build(lab, project, unique):
    moment = lasts(project, unique)
    timer = threading.Timer(1, _thread.interrupt_main)
    # A worker of pytest-xdist ignores the signal, and then there is nothing to see.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            build(lab, project, progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert is_cancelled(lab, project, moment)
    assert left(lab) == []


class Wire:
    """Something between the client and its engine that can be cut."""

    def __init__(self, url, folder):
        self._engine = urlsplit(url)
        self._open = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "wire"))
        self._listener.listen()
        self.url = f"unix://{folder / 'wire'}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        for end in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                if self._engine.scheme == "unix":
                    there = socket.socket(socket.AF_UNIX)
                    there.connect(self._engine.path)
                else:
                    there = socket.create_connection((self._engine.hostname, self._engine.port))
                self._open += [here, there]
                for source, target in ((here, there), (there, here)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    @staticmethod
    def _carry(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def wire(lab, tmp_path, monkeypatch):
    wire = Wire(lab.engine.url, tmp_path)
    with monkeypatch.context() as patch, contextlib.closing(docker.DockerClient(base_url=wire.url)) as client:
        patch.setattr(lab, "client", client)
        yield wire
    wire.cut()


def test_an_engine_that_goes_away_in_the_middle_is_told(lab, wire, project, unique):
    write(project, f"RUN echo {unique}; sleep 3\n")
    threading.Timer(1, wire.cut).start()
    with pytest.raises(EngineUnreachable, match="went away in the middle of the build") as failure:
        build(lab, project, progress=False)
    assert "build again" in failure.value.do


def test_an_engine_that_is_not_there_is_told(lab, wire, project):
    wire.cut()
    with pytest.raises(EngineUnreachable, match="did not take the build"):
        build(lab, project, progress=False)


def test_an_answer_that_ends_without_an_image_is_an_error(lab, project, monkeypatch):
    def answer(post, url, keywords):
        response = post(url, **keywords)
        response.iter_lines = lambda **_: iter([b"{}"])
        return response

    answering(monkeypatch, lab.client, answer)
    with pytest.raises(BuildFailed, match="ended without an image"):
        build(lab, project, progress=False)


# --- what stays in the build cache ---


class Ledgers:
    """Ledgers of our own: one for builds of the laboratory, one for builds that play the reader's."""

    def __init__(self, lab, folder, monkeypatch):
        self._lab = lab
        self._folder = folder
        self._patch = monkeypatch
        self.use("lab")

    def use(self, name):
        self._patch.setattr(ledger, "path_of", lambda client: self._folder / f"{name}.txt")

    def read(self, name="lab"):
        path = self._folder / f"{name}.txt"
        return set(path.read_text().split()) if path.exists() else set()

    def build_as_the_reader(self, project):
        self.use("reader")
        build(self._lab, project, name="readers", progress=False)
        self.use("lab")

    def readers_records(self, project, word):
        """The records of a build of the reader's that has a word in it."""
        write(project, f"RUN echo {word}\n")
        self.build_as_the_reader(project)
        return records(self._lab.client, word)


@pytest.fixture
def ledgers(lab, tmp_path):
    with pytest.MonkeyPatch.context() as monkeypatch:
        ledgers = Ledgers(lab, tmp_path, monkeypatch)
        yield ledgers
    # What is left belongs into the laboratory's real ledger.
    ledger.note_build_records(lab.client, ledgers.read() | ledgers.read("reader"))


def records(client, word):
    return {record for record, description in build_cache.descriptions(client).items() if word in description}


def test_what_a_build_has_put_into_the_cache_is_noted_and_pruned(lab, project, unique, ledgers):
    mine, readers = unique + "mine", unique + "readers"
    kept = ledgers.readers_records(project, readers)

    write(project, f"WORKDIR /{mine}\nRUN echo {mine}\nCOPY app /{mine}\nRUN --mount=type=cache,target=/{mine} true\n")
    build(lab, project, name="mine", progress=False)
    made = records(lab.client, mine)
    assert len(made) >= 4
    assert made <= ledgers.read(), "not all was noted"
    assert kept <= ledgers.read("reader")
    assert not ledgers.read("reader") & ledgers.read(), "what the reader has built was noted"

    lab.client.images.remove(lab.tag("mine"))
    ledger.prune(lab.client, lambda: False)  # ours, and those of tests beside this one
    assert records(lab.client, mine) == set()
    assert records(lab.client, readers) == kept
    assert not made & ledgers.read(), "what is gone is still in the ledger"


def test_the_records_of_a_failed_build_are_noted(lab, project, unique, ledgers):
    write(project, f"RUN echo {unique}\nRUN exit 1 # {unique}\n")
    with pytest.raises(BuildFailed):
        build(lab, project, progress=False)
    made = records(lab.client, unique)
    assert made
    assert made <= ledgers.read()
    ledger.prune(lab.client, lambda: False)  # ours, and those of tests beside this one
    assert records(lab.client, unique) == set()


BUILD = """
from dockerlab import open_lab
from dockerlab.build import build
build(open_lab("test"), {project!r}, progress=False)
"""


IN_A_CELL = """
import shutil
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("from dockerlab import open_lab; lab = open_lab('test')")
shutil.copytree({project!r}, "project")
shell.run_cell("!docker build --build-arg BASE_IMAGE --label $LABEL project")
"""


@pytest.mark.parametrize("code", [BUILD, IN_A_CELL], ids=["by build", "by a command in a cell"])
def test_the_records_of_a_build_whose_process_was_killed_are_pruned(lab, project, unique, tmp_path, code):
    readers, mine = unique + "readers", unique + "mine"
    write(project, f"RUN echo {readers}\n")
    build(lab, project, name="readers", progress=False)
    kept = records(lab.client, readers)

    slow = f"RUN sleep 20 # {mine}\nLABEL mine={mine}\n"
    write(project, f"ARG WORD={mine}\nCOPY app /app-${{WORD}}\nRUN echo {mine}\n{slow}")
    environment = lab.engine.environment
    with pytest.MonkeyPatch.context() as alone:
        # A cache folder, and so a ledger, of its own: the reader's builds are not in it.
        alone.setenv("DOCKERLAB_CACHE", str(tmp_path / "cache"))
        for name in {"DOCKER_HOST", "DOCKER_CONFIG", "PATH"} & environment.keys():
            alone.setenv(name, environment[name])
        killed = subprocess.Popen([sys.executable, "-c", code.format(project=str(project))])
        deadline = time.monotonic() + 100
        # Until its last step runs: one that the engine begins after the kill is beyond what can be told.
        while not records(lab.client, f"sleep 20 # {mine}"):
            assert killed.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        killed.kill()
        killed.wait()
        cleanup.sweep(lab.client)
        # The engine gives the broken build up when it notices; where other builds go on beside it, at its end.
        deadline = time.monotonic() + 100
        while records(lab.client, mine):
            assert time.monotonic() < deadline, f"these are left: {records(lab.client, mine)}"
            for image in lab.client.images.list(filters={"label": f"mine={mine}"}):
                image.remove(force=True)
            ledger.prune(lab.client, lambda: False)
            time.sleep(0.5)
    assert records(lab.client, readers) == kept


def test_records_are_pruned_under_other_ids_than_were_noted(lab, project, unique, ledgers):
    """BuildKit gives what a step has written another id when something builds on it, which may be later."""
    readers, mine = unique + "readers", unique + "mine"
    kept = ledgers.readers_records(project, readers)

    write(project, f"COPY app /{mine}\nRUN --mount=type=cache,target=/{mine} echo {mine}\n")
    with pytest.MonkeyPatch.context() as unnoted:
        unnoted.setattr(ledger, "note_build_records", lambda client, ids: None)
        build(lab, project, progress=False)
    lab.client.images.remove(lab.tag("project"))
    assert len(records(lab.client, mine)) >= 3
    ledger.prune(lab.client, lambda: False)
    assert records(lab.client, mine) == set()
    assert records(lab.client, readers) == kept
    assert not list(ledger.begun_builds(lab.client).iterdir())


def test_a_record_that_the_reader_has_built_on_stays(lab, project, unique, ledgers):
    mine, readers = unique + "mine", unique + "readers"
    write(project, f"RUN echo {mine}\n")
    build(lab, project, progress=False)
    write(project, f"RUN echo {mine}\nRUN echo {readers}\n")
    ledgers.build_as_the_reader(project)
    shared = records(lab.client, mine)
    ledger.prune(lab.client, lambda: False)  # ours, and those of tests beside this one
    assert records(lab.client, mine) == shared
    assert shared <= ledgers.read(), "it is still ours to remove, when the reader's is gone"


def test_the_last_lab_takes_the_records_with_it(lab, project, unique, ledgers):
    write(project, f"RUN echo {unique}\n")
    build(lab, project, progress=False)
    assert records(lab.client, unique) & ledgers.read()
    find = cleanup.labeled
    # A context of its own: the fixture's would last until the lab is closed a second time, over the real ledger, and
    # would prune what other labs still use.
    with pytest.MonkeyPatch.context() as alone:
        alone.setattr(cleanup, "labeled", lambda *given: [item for item in find(*given) if item.lab == lab.id])
        assert lab.close().left == ()
    assert records(lab.client, unique) == set()


def test_a_rebuild_that_changes_nothing_asks_the_engine_for_nothing_more(lab, project, monkeypatch):
    build(lab, project, progress=False)
    build(lab, project, progress=False)
    monkeypatch.setattr(build_cache, "records", lambda client: pytest.fail("the whole build cache was listed"))
    assert ran(build(lab, project, progress=False)) == []
