"""hadolint says the same for every reader, and where it can say nothing, the reader is told why."""

import os
import sys
from pathlib import Path

import dockerlab.build.lint
import pytest
import python_script
from dockerlab.build.lint import hadolint
from dockerlab.errors import LabError
from dockerlab.records import LintFinding

ROOT = Path(__file__).parents[2]
SHELL_FORM = "FROM python:3.13-slim\nCMD uvicorn main:app\n"
UNTAGGED = "FROM python\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes, name: str = "Dockerfile") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A program in hadolint's place."""

    def fake(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "hadolint"
        program.write_text(f"{python_script.HEAD}{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(folder / "python"))

    return fake


def rules(path):
    return [finding.rule for finding in hadolint(path)]


def test_a_finding_tells_the_rule_and_the_line(write):
    (finding,) = hadolint(write(SHELL_FORM))
    assert finding == LintFinding(
        "DL3025", "warning", 2, "Use arguments JSON notation for CMD and ENTRYPOINT arguments"
    )
    assert repr(finding).startswith("line 2: warning: DL3025: Use arguments")


def test_findings_are_in_the_order_of_the_lines(write):
    findings = hadolint(write("FROM python\nRUN pip install fastapi\nRUN cd /x && ls *.py\nCMD uvicorn main:app\n"))
    assert [finding.line for finding in findings] == sorted(finding.line for finding in findings)
    assert {"DL3006", "DL3013", "DL3042", "DL3003", "SC2035", "DL3025"} == {finding.rule for finding in findings}
    assert {finding.level for finding in findings} == {"warning", "info"}


def test_the_sample_app_is_clean():
    assert hadolint(ROOT / "sample_app" / "Dockerfile") == ()


@pytest.mark.parametrize(
    "text",
    [
        "FROM python:3.13\r\nCMD a b\r\n",
        "\ufeffFROM python:3.13\nCMD a b\n",
        "# syntax=docker/dockerfile:1\nFROM python:3.13\nCMD a b",
        "FROM python:3.13\nENV x=ä\nCMD a b\n",
    ],
)
def test_line_ends_marks_and_other_alphabets(write, monkeypatch, text):
    monkeypatch.setenv("LC_ALL", "C")
    assert rules(write(text)) == ["DL3025"]


@pytest.mark.parametrize("name", ["Dockerfile with spaces", "-f", "Döckerfile", "Dockerfile;rm x"])
def test_any_file_name(write, name):
    assert rules(write(SHELL_FORM, name)) == ["DL3025"]


def test_a_path_from_the_current_folder(write, tmp_path, monkeypatch):
    write(UNTAGGED)
    write("ignored: [DL3006]\n", ".hadolint.yaml")
    monkeypatch.chdir(tmp_path)
    assert hadolint("Dockerfile") == ()


def test_lines_below_here_documents(write):
    text = (
        "FROM python:3.13\nRUN <<EOF\nset -e\nEOF\nCOPY <<EOF /a\na\nEOF\nCMD a b\n"
        "RUN <<EOF\n\tset -e\nEOF\nENTRYPOINT a b\n"
    )
    assert {(finding.rule, finding.line) for finding in hadolint(write(text))} == {
        ("DL3025", 8),
        ("DL3025", 12),
    }


# --- whose rules -----------------------------------------------------------------------------------------------------


def test_the_rules_beside_the_dockerfile_count(write):
    path = write(UNTAGGED)
    assert rules(path) == ["DL3006"]
    write("ignored: [DL3006]\n", ".hadolint.yaml")
    assert rules(path) == []


def test_a_level_that_the_project_changed(write):
    write("override: {error: [DL3006]}\n", ".hadolint.yml")
    assert [finding.level for finding in hadolint(write(UNTAGGED))] == ["error"]


def test_the_rules_of_the_user_do_not_count(write, tmp_path, monkeypatch):
    path = write(UNTAGGED)
    elsewhere = tmp_path / "home"
    (elsewhere / ".config").mkdir(parents=True)
    for name in (".hadolint.yaml", ".config/hadolint.yaml", ".config/.hadolint.yaml", "hadolint.yaml"):
        (elsewhere / name).write_text("ignored: [DL3006]\n")
    monkeypatch.setenv("HOME", str(elsewhere))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(elsewhere))
    monkeypatch.setenv("HADOLINT_IGNORE", "DL3006")
    monkeypatch.setenv("HADOLINT_NOFAIL", "1")
    monkeypatch.chdir(elsewhere)
    assert rules(path) == ["DL3006"]


def test_a_configuration_that_cannot_be_read_is_named(write):
    write("ignored: {DL3006\n", ".hadolint.yaml")
    with pytest.raises(LabError) as error:
        hadolint(write(UNTAGGED))
    assert "cannot read its configuration" in error.value.seen
    assert ".hadolint.yaml" in error.value.seen
    assert "trustedRegistries" in error.value.log


def test_an_exception_beside_a_line_counts(write):
    assert rules(write("# hadolint ignore=DL3006\nFROM python\n")) == []


# --- what is no Dockerfile -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "\n\n", "# Title\n\nText.\n", "ARG X=1\n", "hello world\n"])
def test_a_file_without_from(write, text):
    with pytest.raises(LabError, match="no `FROM`"):
        hadolint(write(text))


def test_a_line_that_hadolint_cannot_read(write):
    with pytest.raises(LabError, match="cannot read line 2") as error:
        hadolint(write("FROM python:3.13\nRUNN pip install x\n"))
    assert "newer" in error.value.do


def test_bytes(write):
    with pytest.raises(LabError, match="not UTF-8"):
        hadolint(write(b"FROM python:3.13\nRUN \xff\xfe\n"))


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(LabError, match="does not exist"):
        hadolint(tmp_path / "Dockerfile")
    with pytest.raises(LabError, match="is a folder"):
        hadolint(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "Dockerfile")
    with pytest.raises(LabError, match="is not a file"):
        hadolint(tmp_path / "Dockerfile")


def test_a_huge_file(write):
    with pytest.raises(LabError, match="larger than 1 MB"):
        hadolint(write("FROM python:3.13\n" + "# x\n" * 300_000))


# --- no hadolint -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("platform", "told"), [("linux", "pip install"), ("win32", "WSL")])
def test_there_is_no_hadolint(write, tmp_path, monkeypatch, platform, told):
    monkeypatch.setattr(dockerlab.build.lint.shutil, "which", lambda *args, **kwargs: None)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(LabError, match="There is no hadolint") as error:
        hadolint(write(SHELL_FORM))
    assert told in error.value.do


def test_hadolint_that_does_not_end(write, fake):
    fake("import time; time.sleep(60)")
    with pytest.raises(LabError, match=r"within 0\.5 s"):
        hadolint(write(SHELL_FORM), timeout=0.5)


def test_hadolint_that_breaks(write, fake):
    fake("import sys; print('no memory', file=sys.stderr); sys.exit(3)")
    with pytest.raises(LabError, match="exit code 3") as error:
        hadolint(write(SHELL_FORM))
    assert error.value.log == "no memory"


def test_hadolint_that_cannot_be_started(write, fake, tmp_path):
    fake("")
    (tmp_path / "bin" / "hadolint").write_text("#!/nowhere/python\n")
    with pytest.raises(LabError, match="cannot be started"):
        hadolint(write(SHELL_FORM))
