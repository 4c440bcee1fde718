"""What is audited: the folder, the Dockerfile, the port, what a Compose file says of a service."""

from pathlib import Path

import pytest
from dockerlab.audit import project as projects
from dockerlab.errors import LabError


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("exposed", "command", "environment", "first"),
    [
        ([80], ["fastapi", "run", "app/main.py", "--port", "8000"], {}, 8000),
        ([9000], ["python", "main.py"], {}, 9000),
        ([], ["uvicorn", "a:b", "--port=7000"], {}, 7000),
        ([], ["gunicorn", "a:b", "--bind", "0.0.0.0:7001"], {}, 7001),
        ([], ["gunicorn", "a:b", "-b", ":7002"], {}, 7002),
        ([], ["/bin/sh", "-c", "exec uvicorn a:b --port ${PORT:-7003}"], {}, 7003),
        ([], ["/bin/sh", "-c", "exec uvicorn a:b --port $PORT"], {"PORT": "7004"}, 7004),
        ([], ["hypercorn", "a:b", "--bind", "[::]:7005"], {}, 7005),
        ([], ["python", "main.py"], {"APP_PORT": "7006"}, 7006),
        ([], ["python", "main.py"], {}, 80),
    ],
)
def test_the_likeliest_port(exposed, command, environment, first):
    assert projects.likely_ports(exposed, command, environment)[0] == first


def test_a_folder_is_needed_and_a_dockerfile_in_it(tmp_path):
    (tmp_path / "README.md").write_text("words")
    with pytest.raises(LabError, match="is a file"):
        projects.find(tmp_path / "README.md")
    with pytest.raises(LabError, match=r"There is no .*nowhere"):
        projects.find(tmp_path / "nowhere")
    with pytest.raises(LabError, match="There is no Dockerfile"):
        projects.find(tmp_path)
    write(tmp_path, docker__Dockerfile="FROM scratch\n")
    with pytest.raises(LabError, match="--dockerfile docker/Dockerfile"):
        projects.find(tmp_path)
    assert projects.find(tmp_path, dockerfile="docker/Dockerfile").dockerfile == Path("docker/Dockerfile")
    with pytest.raises(LabError, match="There is no Dockerfile other"):
        projects.find(tmp_path, dockerfile="other")


def test_a_file_of_variables_is_read_as_docker_reads_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FROM_HERE", "yes")
    monkeypatch.delenv("NOWHERE", raising=False)
    (tmp_path / "env").write_text('# words\n\nA=1\nB="quoted"\nC=a=b\nFROM_HERE\nNOWHERE\n')
    variables = projects.environment_file(tmp_path / "env")
    assert variables == {"A": "1", "B": '"quoted"', "C": "a=b", "FROM_HERE": "yes"}
    with pytest.raises(LabError, match="cannot be read"):
        projects.environment_file(tmp_path / "missing")


def test_a_service_of_a_compose_file(tmp_path):
    write(tmp_path, api__Dockerfile="FROM scratch\n", **{"settings.env": "LEVEL=debug\nMODE=slow\n"})
    service = {
        "build": {"context": "api", "args": ["A=1"], "target": "final"},
        "environment": {"MODE": "fast", "FLAG": True},
        "env_file": "settings.env",
        "command": "uvicorn 'a:b' --port 8080",
        "ports": ["127.0.0.1:80:8080"],
        "stop_grace_period": "1m30s",
        "stop_signal": "SIGINT",
        "init": True,
        "user": 1000,
        "healthcheck": {"test": "exit 0"},
        "volumes": ["./data:/data"],
        "depends_on": ["db"],
    }
    made = projects._of_service("here", tmp_path / "compose.yaml", service)
    assert made.folder == tmp_path / "api"
    assert made.build_args == {"A": "1"}
    assert made.target == "final"
    assert made.environment == {"LEVEL": "debug", "MODE": "fast", "FLAG": "true"}
    assert made.command == ["uvicorn", "a:b", "--port", "8080"]
    assert made.port == 8080
    assert made.grace_seconds == projects.LONGEST_GRACE_SECONDS
    assert (made.stop_signal, made.init, made.user) == ("SIGINT", True, "1000")
    assert made.health_check == ["CMD-SHELL", "exit 0"]
    assert len(made.notes) == 2
