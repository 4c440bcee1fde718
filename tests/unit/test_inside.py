"""What can be read of a container from inside: from the kernel's own files, by what its image happens to have."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from docker.errors import APIError
from dockerlab import inside
from dockerlab.inside import parse_socket

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


def test_a_connection_is_not_a_place_to_listen():
    assert parse_socket(CONNECTION) is None


class Container:
    """Process 4711 of a machine that may have `ps`; its programs read this machine's own files."""

    name = "web"
    attrs: ClassVar = {"State": {"Pid": 4711}}

    def __init__(self, *programs, ps=()):
        self.programs = programs
        self.ps = ps

    def reload(self):
        pass

    def top(self, ps_args):
        if not self.ps:
            raise APIError('exec: "ps": executable file not found in $PATH')
        return {"Titles": ["PID", "COMMAND"], "Processes": self.ps}

    def exec_run(self, command):
        if command[0] not in self.programs:
            return 127, b"OCI runtime exec failed: executable file not found in $PATH"
        return subprocess.run(command, capture_output=True).returncode, subprocess.check_output(command)


def test_the_main_process_is_the_one_that_the_engine_started():
    listing = [["4800", "tee server.log"], ["4711", "/bin/bash -c fastapi run | tee server.log"]]
    assert inside.command_line(Container(ps=listing)) == "/bin/bash -c fastapi run | tee server.log"


@pytest.mark.parametrize("ps", [[], [["1", "another container's"]]])
@pytest.mark.parametrize("program", ["cat", "python3"])
def test_without_ps_it_is_read_by_what_the_image_has(ps, program):
    assert inside.command_line(Container(program, ps=ps)) == Path("/proc/1/cmdline").read_text()[:-1].replace("\0", " ")


def test_with_nothing_to_read_it_that_is_an_error():
    with pytest.raises(LookupError, match="web"):
        inside.command_line(Container())


@pytest.mark.parametrize("program", ["cat", "python3"])
def test_what_this_machine_listens_on_is_found(program):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"127.0.0.1:{port}" in map(str, inside.listening(Container(program)))


def test_where_no_program_can_read_a_file_nothing_is_claimed():
    assert inside.listening(Container()) is None
