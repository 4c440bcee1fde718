"""What can be read of a container from inside: from the kernel's own files, by what its image happens to have."""

import itertools
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from docker.errors import APIError
from dockerlab.run import docker_exec
from dockerlab.run.docker_exec import parse_socket

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc, as it is in every container")

LISTENS_LOCALLY = (
    "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4026 1 0 100 0"
)
CONNECTION = "   1: 020011AC:0050 010011AC:D2E4 01 00000000:0000004F 00:00000000 00000000     0        0 4027 1 0 20"
EVERYWHERE_6 = (
    "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 31 1 0"
)
LOCAL_6 = "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 32 1 0"
MAPPED_6 = "   2: 0000000000000000FFFF0000020011AC:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 33 1 0"


@pytest.mark.parametrize(
    ("line", "shown", "loopback"),
    [
        (LISTENS_LOCALLY, "127.0.0.1:8000", True),
        (EVERYWHERE_6, "[::]:80", False),
        (LOCAL_6, "[::1]:80", True),
        (MAPPED_6, "172.17.0.2:80", False),
    ],
)
def test_addresses(line, shown, loopback):
    assert str(parse_socket(line)) == shown
    assert parse_socket(line).is_loopback == loopback


@pytest.mark.parametrize("line", [CONNECTION, "", "y", "a b c 0A", "0: x:y 0:0 0A", "0: 0100:1F40 0:0 0A"])
def test_a_connection_is_not_a_place_to_listen_and_neither_is_anything_else(line):
    assert parse_socket(line) is None


def test_a_long_list_of_connections_is_read_whole():
    class Busy(Container):
        def exec_start(self, command, stream):
            lines = ["heading", *[CONNECTION] * 20_000, LISTENS_LOCALLY]
            self.stream = Stream(["\n".join(lines).encode()], 0)
            return self.stream

    assert list(map(str, docker_exec.listening(Busy("cat")))) == ["127.0.0.1:8000"] * 2


class Stream:
    """What a program prints, piece by piece. Its exit code is None while it runs."""

    def __init__(self, pieces, exit_code):
        self.pieces = iter(pieces)
        self.exit_code = exit_code
        self.closed = threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        if self.closed.is_set():
            raise StopIteration
        return next(self.pieces)

    def close(self):
        self.closed.set()


class Container:
    """Process 4711 of a machine that may have `ps`; its programs read this machine's own files."""

    name = id = "web"
    attrs: ClassVar = {"State": {"Pid": 4711}}

    def __init__(self, *programs, ps=()):
        self.programs = programs
        self.ps = ps
        self.client = self
        self.api = self

    def reload(self):
        pass

    def top(self, ps_args):
        if not self.ps:
            raise APIError('exec: "ps": executable file not found in $PATH')
        return {"Titles": ["PID", "COMMAND"], "Processes": self.ps}

    def exec_create(self, id, command):
        return {"Id": command}

    def exec_start(self, command, stream):
        if command[0] not in self.programs:
            return Stream([b"OCI runtime exec failed: executable file not found in $PATH"], 127)
        done = subprocess.run(command, stdout=subprocess.PIPE)
        self.stream = Stream([done.stdout], done.returncode)
        return self.stream

    def exec_inspect(self, command):
        known = command[0] in self.programs
        return {"Running": known and self.stream.exit_code is None, "ExitCode": self.stream.exit_code if known else 127}


def test_the_main_process_is_the_one_that_the_engine_started():
    listing = [["4800", "tee server.log"], ["4711", "/bin/bash -c fastapi run | tee server.log"]]
    assert docker_exec.command_line(Container(ps=listing)) == "/bin/bash -c fastapi run | tee server.log"


@pytest.mark.parametrize("ps", [[], [["1", "another container's"]]])
@pytest.mark.parametrize("program", ["cat", "python3"])
def test_without_ps_it_is_read_by_what_the_image_has(ps, program):
    assert docker_exec.command_line(Container(program, ps=ps)) == Path("/proc/1/cmdline").read_text()[:-1].replace(
        "\0", " "
    )


def test_with_nothing_to_read_it_that_is_an_error():
    with pytest.raises(LookupError, match="web"):
        docker_exec.command_line(Container())


@pytest.mark.parametrize("program", ["cat", "python3"])
def test_what_this_machine_listens_on_is_found(program):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"127.0.0.1:{port}" in map(str, docker_exec.listening(Container(program)))


def test_where_no_program_can_read_a_file_nothing_is_claimed():
    assert docker_exec.listening(Container()) is None


# --- a command that means harm ---------------------------------------------------------------------------------------


class Commanded(Container):
    """Its one program prints these pieces, and has this exit code."""

    def __init__(self, pieces, exit_code=None):
        super().__init__("it")
        self.stream = Stream(pieces, exit_code)

    def exec_start(self, command, stream):
        return self.stream


def test_of_output_without_end_so_much_is_read_and_no_more():
    taken = itertools.count()
    container = Commanded(b"y\n" * 5000 for _ in taken)
    done = docker_exec.run(container, ["it"])
    assert (done.exit_code, done.is_left) == (None, True)
    assert len(done.output) == docker_exec.KEPT_BYTES
    assert next(taken) * 10_000 < 2 * docker_exec.KEPT_BYTES
    assert container.stream.closed.is_set()


def test_a_command_that_prints_nothing_and_does_not_end_is_given_up():
    silent = threading.Event()
    began = time.monotonic()
    done = docker_exec.run(Commanded(b"" for _ in [1] if silent.wait(30)), ["it"], seconds=0.05)
    assert (done.exit_code, done.output, done.is_left) == (None, b"", True)
    assert time.monotonic() - began < 10
    silent.set()


def test_a_command_that_closes_its_output_and_does_not_end_is_given_up():
    assert docker_exec.run(Commanded([b"once"]), ["it"], seconds=0.1) == docker_exec.Ran(None, b"once", True, ["it"])


def test_a_command_that_ended_and_left_another_that_holds_its_output_has_its_exit_code():
    silent = threading.Event()
    done = docker_exec.run(Commanded((b"" for _ in [1] if silent.wait(30)), 3), ["it"], seconds=0.05)
    assert (done.exit_code, done.is_left) == (3, True)
    silent.set()


def test_a_file_without_end_is_no_file():
    class EndlessCat(Container):
        def exec_start(self, command, stream):
            self.stream = Stream((b"0" * 65536 for _ in itertools.count()), None)
            return self.stream

    assert docker_exec.listening(EndlessCat("cat", "python3")) is None


def test_a_container_whose_last_process_has_just_ended_has_none():
    """The engine's list is null then, and not empty: seen while a fork bomb was killed."""
    ending = SimpleNamespace(
        reload=lambda: None, attrs={"State": {"Pid": 7}}, top=lambda ps_args: {"Titles": [], "Processes": None}
    )
    assert docker_exec.processes(ending) == ()
