"""What is audited: the folder, the Dockerfile, the port, what a Compose file says of a service."""

import dataclasses
import os
import time
from pathlib import Path

import pytest
import yaml
from dockerlab.audit import compose_file
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


# --- Compose ---------------------------------------------------------------------------------------------------------

SECRET = "AWS_SECRET_ACCESS_KEY"
OUTSIDE = "correct-horse-battery-staple"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A project with a Compose file to be written, in a folder and an environment with secrets of the auditor's."""
    monkeypatch.setenv(SECRET, OUTSIDE)
    write(tmp_path, elsewhere__env=f"TOKEN={OUTSIDE}\n", elsewhere__Dockerfile="FROM scratch\n")
    return write(tmp_path / "shop", Dockerfile="FROM scratch\n")


def of_service(folder, definition, service="web", **more):
    """What is audited of one service, by its Compose file."""
    file = definition if isinstance(definition, str) else yaml.safe_dump({"services": {service: definition}})
    (folder / "compose.yaml").write_text(file)
    return compose_file.from_compose(folder, "compose.yaml", service, **more)


def test_a_service_of_a_compose_file(tmp_path):
    write(tmp_path, api__Dockerfile="FROM scratch\n", **{"settings.env": "LEVEL=debug\nMODE=slow\n"})
    service = {
        "build": {"context": "api", "args": ["A=1"], "target": "final"},
        "environment": {"MODE": "fast", "FLAG": True, "VERSION": "1.10"},
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
    made = of_service(tmp_path, service)
    assert made.folder == tmp_path / "api"
    assert made.build_args == {"A": "1"}
    assert made.target == "final"
    assert made.environment == {"LEVEL": "debug", "MODE": "fast", "FLAG": "true", "VERSION": "1.10"}
    assert made.command == ["uvicorn", "a:b", "--port", "8080"]
    assert made.port == 8080
    assert made.grace_seconds == projects.LONGEST_GRACE_SECONDS
    assert (made.stop_signal, made.init, made.user) == ("SIGINT", True, "1000")
    assert made.health_check == ["CMD-SHELL", "exit 0"]
    assert len(made.notes) == 2
    assert made.left_out == ()


TAKES = {
    "a name in a list": {"environment": [SECRET]},
    "a name without a value": {"environment": {SECRET: None}},
    "a reference": {"environment": {"KEY": f"${{{SECRET}}}"}},
    "a short reference": {"environment": [f"KEY=${SECRET}"]},
    "a reference in a default": {"environment": {"KEY": f"${{NOTHING:-${{{SECRET}}}}}"}},
    "a reference with a default": {"environment": {"KEY": f"${{{SECRET}-}}"}},
    "an alternative": {"environment": {"KEY": f"${{{SECRET}:+{OUTSIDE}}}"}},
    "an argument": {"build": {"context": ".", "args": [SECRET]}},
    "a reference in an argument": {"build": {"context": ".", "args": {"KEY": f"${{{SECRET}}}"}}},
    "a reference in the command": {"command": ["serve", f"${{{SECRET}}}"]},
    "a name in an env_file": {"env_file": "names.env"},
    "a reference in an env_file": {"env_file": ["references.env"]},
    "an env_file outside": {"env_file": "../elsewhere/env"},
    "an env_file by its whole path": {"env_file": [{"path": "{outside}/elsewhere/env", "required": False}]},
    "an env_file that is a link": {"env_file": "link.env"},
    "an env_file below a link": {"env_file": "folder/env"},
    "a path that is put together": {"env_file": "${NOWHERE:-..}/elsewhere/env"},
}


@pytest.mark.parametrize("definition", TAKES.values(), ids=TAKES)
def test_nothing_of_the_auditors_is_taken_unasked(definition, shop):
    write(shop, **{"names.env": f"{SECRET}\n", "references.env": f'A="${{{SECRET}}}"\nB=${SECRET}\n'})
    (shop / "link.env").symlink_to("../elsewhere/env")
    (shop / "folder").symlink_to("../elsewhere")
    definition = yaml.safe_load(yaml.safe_dump(definition).replace("{outside}", str(shop.parent)))
    made = of_service(shop, {"build": ".", **definition})
    assert OUTSIDE not in repr(dataclasses.replace(made, left_out=()))
    (told,) = made.left_out if "NOWHERE" not in str(definition) else made.left_out[:1]
    assert SECRET in told or "outside of the project and was not read" in told
    assert OUTSIDE not in told


def test_the_projects_own_env_file_may_be_a_link_that_is_not_followed(shop):
    (shop / ".env").symlink_to("../elsewhere/env")
    made = of_service(shop, {"build": ".", "environment": ["TOKEN"]})
    assert made.environment == {}
    assert [told.split(",")[0] for told in made.left_out] == [
        "compose.yaml names .env",
        "compose.yaml names the variable TOKEN",
    ]


def test_a_variable_that_is_named_is_taken(shop):
    definition = {"build": {"context": ".", "args": ["ARG"]}, "environment": [SECRET, f"KEY=${{{SECRET}}}"]}
    made = of_service(shop, definition, given={SECRET: "named", "OTHER": "1"}, build_args={"ARG": "2"})
    assert made.environment == {SECRET: "named", "KEY": "named", "OTHER": "1"}
    assert made.build_args == {"ARG": "2"}
    assert made.left_out == ()


def test_the_projects_own_variables_are_taken(shop):
    env = "A=1\nB=${A}2\nC='${A}'\nD=\"x $A\"\nE=given above\n"
    write(shop, **{".env": env, "more.env": "F=${B}\nA=3\nG=$A\n"})
    definition = {"build": ".", "env_file": "more.env", "environment": ["B", "C=${C}", "D=$D", "E=${E}", "H=$$A"]}
    made = of_service(shop, definition, given={"E": "named"})
    told = {"F": "12", "A": "3", "B": "12", "C": "${A}", "D": "x 1", "E": "named", "H": "$A"}
    assert made.environment == {**told, "G": "1"}, "as with Compose, what the project's .env says comes first"
    assert made.left_out == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"),
        ("$A$A", "11"),
        ("${NO}", ""),
        ("${NO:-d}", "d"),
        ("${NO-}", ""),
        ("${EMPTY-d}", ""),
        ("${EMPTY:-d}", "d"),
        ("${NO:-${A}}x", "1x"),
        ("${NO:-a}b}", "ab}"),
        ("${A:+yes}${NO:+no}", "yes"),
        ("$$A", "$A"),
        ("100 $ and $1", "100 $ and $1"),
    ],
)
def test_references_are_read_as_compose_reads_them(text, value, shop):
    assert of_service(shop, {"build": ".", "command": [text]}, given={"A": "1", "EMPTY": ""}).command == [value]


LEAVES = {
    "a context above": {"build": ".."},
    "a context beside": {"build": {"context": "../elsewhere"}},
    "a context by its whole path": {"build": {"context": "/"}},
    "a context that is a link": {"build": "folder"},
    "a Dockerfile above": {"build": {"context": ".", "dockerfile": "../elsewhere/Dockerfile"}},
    "a Dockerfile that is a link": {"build": {"context": ".", "dockerfile": "link"}},
    "a file that is extended": {"build": ".", "extends": {"service": "web", "file": "../elsewhere/compose.yaml"}},
    "a link to one that is extended": {"build": ".", "extends": {"service": "web", "file": "folder/compose.yaml"}},
}


@pytest.mark.parametrize("definition", LEAVES.values(), ids=LEAVES)
def test_nothing_is_built_from_outside_the_project(definition, shop):
    write(shop.parent, **{"elsewhere__compose.yaml": "services: {web: {build: .}}\n"})
    (shop / "folder").symlink_to("../elsewhere")
    (shop / "link").symlink_to("../elsewhere/Dockerfile")
    with pytest.raises(LabError, match="outside of the project") as caught:
        of_service(shop, definition)
    assert "dockerlab audit" in caught.value.do or "--dockerfile" in caught.value.do


def test_what_is_named_may_lie_outside(shop, monkeypatch):
    (shop / "compose.yaml").write_text("services: {web: {build: ../elsewhere}}\n")
    assert compose_file.from_compose(shop.parent, "shop/compose.yaml", None).folder == shop.parent / "elsewhere"
    made = compose_file.from_compose(shop.parent / "elsewhere", shop / "compose.yaml", None)
    assert made.folder == shop.parent / "elsewhere", "both folders are named"
    made = of_service(shop, {"build": "."}, dockerfile="../elsewhere/Dockerfile")
    assert made.path.samefile(shop.parent / "elsewhere" / "Dockerfile")


def test_a_compose_file_in_a_folder_of_the_project_may_name_the_project(shop):
    write(shop, **{"deploy__compose.yaml": "services: {web: {build: {context: ..}}}\n"})
    assert compose_file.from_compose(shop, "deploy/compose.yaml", None).folder == shop


def test_a_compose_file_that_is_a_link_out_of_the_project_is_not_read(shop):
    write(shop.parent, **{"elsewhere__compose.yaml": "services: {web: {build: .}}\n"})
    (shop / "compose.yaml").symlink_to("../elsewhere/compose.yaml")
    with pytest.raises(LabError, match="outside of the project"):
        compose_file.from_compose(shop, "compose.yaml", None)


def test_what_the_audit_does_not_give_a_service_is_told(shop):
    build = {"context": ".", "additional_contexts": {"home": "~"}, "secrets": ["key"], "ssh": ["default"]}
    definition = {"build": build, "secrets": ["key"], "configs": ["c"], "privileged": True, "x-note": 1, "image": "i"}
    (told,) = of_service(shop, definition).left_out
    names = "build.additional_contexts`, `build.secrets`, `build.ssh`, `configs`, `privileged`, `secrets"
    assert told == f"compose.yaml names `{names}` for 'web', which the audit does not give it."


def test_a_service_extends_another(shop):
    write(
        shop,
        base__Dockerfile="FROM scratch\n",
        **{
            "base__settings.env": "A=1\nB=1\n",
            "base__common.yaml": (
                "services:\n"
                "  common:\n"
                "    build: {context: ., args: {X: 1, Y: 1}}\n"
                "    env_file: settings.env\n"
                "    environment: [B=2, C=2]\n"
                "    command: serve\n"
                "    expose: [7000]\n"
                "    volumes: [./data:/data]\n"
            ),
        },
    )
    extends = {"file": "base/common.yaml", "service": "common"}
    made = of_service(shop, {"extends": extends, "build": {"args": ["Y=2"]}, "environment": {"C": 3}})
    assert (made.folder, made.build_args) == (shop / "base", {"X": "1", "Y": "2"})
    assert made.environment == {"A": "1", "B": "2", "C": "3"}
    assert (made.command, made.port, len(made.notes)) == (["serve"], 7000, 1)


def bomb(first, each, last):
    """A file of some lines, of which each holds the one before nine times."""
    lines = [each.format(n=n, below=", ".join([f"*x{n - 1}"] * 9)) for n in range(1, 12)]
    return "\n".join([first, *lines, last])


BOMB = bomb("x0: &x0 [y, y]", "x{n}: &x{n} [{below}]", "services: {web: {build: ., command: *x11}}")
MERGE_BOMB = bomb(
    "x0: &x0 {a: 1, b: 1}", "x{n}: &x{n} {{<<: [{below}]}}", "services: {web: {build: ., environment: {<<: *x11}}}"
)
ODD = {
    "nothing": "",
    "text": "services",
    "a list": "[1, 2]",
    "services that are none": "services: 7",
    "a service that is none": "services: {web: 7}",
    "a build that is none": "services: {web: {build: [1]}}",
    "an environment that is none": "services: {web: {build: ., environment: 7}}",
    "ports that are none": "services: {web: {build: ., ports: 7}}",
    "an env_file that is none": "services: {web: {build: ., env_file: [{}]}}",
    "a command that is none": 'services: {web: {build: ., command: "it\'s"}}',
    "a required variable": "services: {web: {build: ., command: '${KEY:?is needed}'}}",
    "a reference that is not closed": "services: {web: {build: ., command: '${KEY:-x'}}",
    "references in references": "services: {web: {build: ., command: '" + "${A:-" * 1500 + "}" * 1500 + "'}}",
    "extends itself": "services: {web: {build: ., extends: web}}",
    "extends nothing": "services: {web: {build: ., extends: {service: other}}}",
    "a Dockerfile in it": "services: {web: {build: {context: ., dockerfile_inline: FROM scratch}}}",
    "a remote context": "services: {web: {build: 'https://example.org/shop.git'}}",
    "broken": "services: {web: [",
    "depth": "[" * 1500,
    "values without end": BOMB,
    "merges without end": MERGE_BOMB,
    "a value in itself": "services: {web: {build: ., command: &a [*a]}}",
    "1 MB": "#" * 1_000_000,
    "a long name": "services: {web: {build: " + "x" * 5000 + "}}",
}


@pytest.mark.parametrize("file", ODD.values(), ids=ODD)
def test_an_odd_compose_file_is_told_in_a_sentence(file, shop):
    with pytest.raises(LabError):
        of_service(shop, file)


def test_variables_that_double_each_other_are_told(shop):
    (shop / ".env").write_text("A0=xxxxxxxxxx\n" + "".join(f"A{n}=$A{n - 1}$A{n - 1}\n" for n in range(1, 60)))
    with pytest.raises(LabError, match="too long"):
        of_service(shop, {"build": "."})


def test_a_file_of_many_variables_is_read_in_a_moment(shop):
    (shop / ".env").write_text("".join(f"A{n}=\n" for n in range(20_000)))
    began = time.monotonic()
    assert of_service(shop, {"build": ".", "environment": ["A19999"]}).environment == {"A19999": ""}
    assert time.monotonic() - began < 20


def test_services_that_extend_each_other_by_other_paths_are_told(shop):
    extends = {"file": "../shop/compose.yaml", "service": "web"}
    with pytest.raises(LabError, match="extends itself"):
        of_service(shop, {"build": ".", "extends": extends})


def test_a_pipe_is_not_waited_for(shop):
    os.mkfifo(shop / "pipe.env")
    os.mkfifo(shop / ".env")
    made = of_service(shop, {"build": ".", "env_file": "pipe.env"})
    assert made.left_out == ("compose.yaml names the env_file pipe.env, which is not there.",)


def test_a_health_check_that_is_switched_off_is_none(shop):
    assert of_service(shop, {"build": ".", "healthcheck": {"disable": True}}).health_check == ["NONE"]
