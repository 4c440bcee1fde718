"""The embedded engine itself: started, killed, started twice at once, stopped, removed.

It stands in a network of its own, beside the engine that the other tests run on.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import own_engine
import psutil
import pytest
from dockerlab.engine.own import embedded

pytestmark = [
    pytest.mark.prove,
    pytest.mark.skipif(
        not (own_engine.FETCHED / ".complete").exists(),
        reason="the engine of this machine is not the embedded one: no packages",
    ),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    with own_engine.machine(tmp_path_factory.mktemp("embedded")) as machine:
        yield machine


@pytest.fixture
def running(machine):
    """The machine with its engine started, and an image to run."""
    machine.start()
    if not machine.load_base("dockerlab/base:test"):
        pytest.skip("no archive of the base image in this machine's cache")
    return machine


def test_started_twice_at_once_there_is_one(machine):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: machine.start(), range(2)))
    daemons = [process for process in embedded._daemons() if str(machine.engine.data) in process.cmdline()]
    assert len(daemons) == 1
    status = machine.dockerlab("engine", "status")
    assert status.returncode == 0, status.stderr
    assert "embedded" in status.stdout


def test_it_outlives_the_process_that_started_it(machine):
    machine.start()
    daemon = embedded._daemon(machine.engine)
    assert os.getsid(daemon.pid) == daemon.pid
    assert daemon.ppid() != os.getpid()
    assert {Path(f"/proc/{daemon.pid}/fd/{number}").resolve() for number in (1, 2)} == {machine.engine.log}


def test_the_lab_s_own_cli_has_its_plugins_and_an_init(running):
    script = "import json; from dockerlab.engine import find; print(json.dumps(find().environment))"
    environment = json.loads(running.run(sys.executable, "-c", script).stdout)
    for command in (["docker", "compose", "version"], ["docker", "buildx", "version"]):
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=30)
    with running.client() as client:
        printed = client.containers.run("dockerlab/base:test", ["cat", "/proc/1/comm"], init=True, remove=True)
    assert printed == b"docker-init\n"


def test_a_killed_engine_starts_again(running):
    with running.client() as client:
        container = client.containers.run("dockerlab/base:test", ["sleep", "500"], detach=True, init=True)
        container.reload()
        sleeping = psutil.Process(container.attrs["State"]["Pid"])
    running.kill()
    assert running.dockerlab("engine", "status").returncode == 2
    assert sleeping.is_running()  # a container outlives its engine, and so does containerd
    assert running.engine.pid_file.exists()
    running.start()
    assert not sleeping.is_running() or sleeping.status() == psutil.STATUS_ZOMBIE
    with running.client() as client:
        again = client.containers.get(container.id)
        assert again.status == "exited"
        again.remove()


def test_it_is_started_again_though_a_variable_names_it(machine):
    """As one does in a terminal of JupyterLab, and in a notebook."""
    machine.start()
    assert machine.dockerlab("engine", "stop").returncode == 0
    named = ["env", f"DOCKER_HOST={machine.engine.url}", sys.executable, "-m", "dockerlab.cli", "engine", "start"]
    for _ in range(2):
        started = machine.run(*named)
        assert started.returncode == 0, started.stderr
        assert f", embedded: {machine.engine.url}" in started.stdout


def test_an_engine_that_was_killed_with_its_containerd_leaves_nothing_mounted_and_a_stop_keeps_the_data(running):
    """A daemon leaves mounted what was mounted before it, and the killed one has mounted its data folder on itself."""
    killed = running.processes()
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=10)
    running.start()
    assert running.dockerlab("engine", "stop").returncode == 0
    assert running.processes() == []
    assert running.mounts() == []
    assert "does not run" in running.dockerlab("engine", "stop").stdout
    running.start()
    with running.client() as client:
        assert client.api.images(name="dockerlab/base")


def test_stop_ends_what_a_killed_engine_left(running):
    with running.client() as client:
        container = client.containers.run("dockerlab/base:test", ["sleep", "500"], detach=True)
    running.kill()
    assert running.processes()
    stopped = running.dockerlab("engine", "stop")
    assert stopped.stdout == "The embedded engine was stopped.\n"
    assert running.processes() == []
    assert running.mounts() == []
    running.start()
    with running.client() as client:
        client.api.remove_container(container.id)


def test_the_doctor_fits_one_screen(running):
    result = running.dockerlab("doctor")
    assert result.returncode == 0, result.stderr
    assert "embedded" in result.stdout
    assert len(result.stdout.splitlines()) <= 24


def test_remove_leaves_nothing(machine):
    machine.dockerlab("engine", "remove")
    machine.link_packages()
    before = machine.network()
    machine.start()
    with machine.client() as client:
        client.networks.create("left")
    assert any("DOCKER" in line for line in machine.network())
    machine.kill()
    removed = machine.dockerlab("engine", "remove")
    assert removed.returncode == 0, removed.stderr
    assert machine.processes() == []
    assert machine.mounts() == []
    assert not machine.engine.home.exists()
    assert not machine.engine.run.exists()
    assert machine.network() == before
