"""What is typed wrong is told in a sentence, with exit code 2, before any work."""

import pytest
from dockerlab import cli, engine
from dockerlab.audit import audit
from dockerlab.audit.runner import Runner, _ListensElsewhere
from dockerlab.errors import LabError, NeverListened
from typer.testing import CliRunner


@pytest.fixture
def project(tmp_path, monkeypatch):
    def ensure(_):
        raise AssertionError("an engine was looked for")

    monkeypatch.setattr(engine, "ensure", ensure)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--command", "it's"], "--command it's cannot be read (No closing quotation)."),
        (["--command", " "], "--command names no program."),
        (["--port", "0"], "Invalid value for '--port'"),
        (["--port", "65536"], "Invalid value for '--port'"),
        (["--port", "web"], "Invalid value for '--port'"),
        (["--timeout", "-1"], "--timeout -1 is not a limit."),
        (["--timeout", "nan"], "--timeout nan is not a limit."),
        (["--timeout", "inf"], "--timeout inf is not a limit."),
        (["--output", "."], "The report cannot be written: . is a folder."),
        (["--output", "nowhere/report"], "there is no folder for nowhere/report"),
        (["--check", "pid1"], "there is no 'pid1'"),
        (["--env-file", "."], "The file . cannot be read (Is a directory)."),
        (["--dockerfile", "Dockerflie"], "There is no Dockerfile Dockerflie"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_is_typed_wrong(project, options, told):
    result = CliRunner().invoke(cli.app, ["audit", str(project), *options])
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("checks", [["pid1"], "pid1"])
def test_a_check_that_there_is_not(project, checks):
    with pytest.raises(LabError, match="no check 'pid1'"):
        audit(project, only=checks)


class Started(Runner):
    """A runner without an engine, whose application listens where it is told, at one start after the other."""

    def __init__(self, *ports):
        self.port = None
        self._ports = iter(ports)
        self.closed = 0

    def _candidates(self):
        return [80, 8000]

    def _create(self, name, ports, **_):
        return self

    def _start_and_wait(self, service, ports):
        if (port := next(self._ports)) not in ports:
            raise _ListensElsewhere(port)

    def log_tail(self):
        return "the log"

    def close(self):
        self.closed += 1


def test_an_application_that_listens_elsewhere_is_started_again_with_that_port():
    runner = Started(9000, 9000)
    with runner.started("idle"):
        pass
    assert runner.closed == 2


def test_an_application_that_listens_on_another_port_at_each_start_is_told():
    runner = Started(41234, 35678)
    with (
        pytest.raises(NeverListened, match="another port at each start: 41234, then 35678") as caught,
        runner.started("idle"),
    ):
        pass
    assert caught.value.log == "the log"
    assert "--port" in caught.value.do
    assert runner.closed == 2
