"""What an audit must find in each project of this folder, and after which change its verdict turns.

Each project is about one virtue or fault; each verdict was seen with plain Docker first: who is PID 1, how the stop
ends, what the log tells, which step is cached. What is not named may be anything but `fail`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Edit = tuple[str, str] | str | Callable[[str], str]
"""(old, new): replace this text, which must be there. A text: write the file. A function: what it makes of the text."""

SERVE = '"uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"'
PRIVATE = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"

DEAF = {"stops-on-sigterm": "fail", "lifespan-shutdown": "fail", "pid-1": "fail"}
"""The server never hears the signal. A request of some seconds still ends before the kill."""
HEARS = {
    "stops-on-sigterm": "pass",
    "lifespan-shutdown": "pass",
    "pid-1": "pass",
    "inflight-requests-finish": "pass",
}


@dataclass(frozen=True)
class Turned:
    """The other direction: the same project after a change.

    Attributes:
        edits: what is changed, by file.
        about: the verdicts after it.
        told: where it cannot be audited after it: what the error must say, a regular expression.
        options: the command's options after it; the same as before if None.
    """

    edits: Mapping[str, Edit]
    about: Mapping[str, str] = field(default_factory=dict)
    told: str = ""
    options: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Project:
    """One project.

    Attributes:
        about: the verdicts that it is about, by check.
        turned: a change that turns them.
        options: options of the command.
        says: what a finding must name, in what it observed or in its fix: a regular expression for a check.
        told: where it cannot be audited: what the error must say, a regular expression.
        adds: files that no repository can hold (a `.git` folder), made in the copy that is audited.
    """

    about: Mapping[str, str]
    turned: Turned
    options: tuple[str, ...] = ()
    says: Mapping[str, str] = field(default_factory=dict)
    told: str = ""
    adds: Mapping[str, str] = field(default_factory=dict)


def in_shell_form(dockerfile: str) -> str:
    """The Dockerfile with its CMD in shell form."""
    words = re.search(r"^CMD (\[.*?\])$", dockerfile, re.MULTILINE | re.DOTALL)
    return dockerfile.replace(words[0], "CMD " + " ".join(json.loads(words[1].replace("\\\n", ""))))


IN_SHELL_FORM = {"Dockerfile": in_shell_form}


def exec_form_of(line: str, port: int = 8000) -> Edit:
    return line, f'CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "{port}"]'


PROJECTS: dict[str, Project] = {
    # --- how the server is started, and how it stops ---
    "exec_form": Project(
        {
            **HEARS,
            "builds": "pass",
            "starts": "pass",
            "stream-does-not-block-stop": "pass",
            "workers-stop": "not measured",
            "code-change-keeps-dependencies-cached": "pass",
            "unchanged-rebuild-cached": "pass",
            "build-context": "pass",
            "behind-tls-proxy": "pass",
            "rejects-forged-client": "pass",
            "non-root": "pass",
            "read-only-root": "pass",
            "health-check": "pass",
            "secrets-in-layers": "pass",
            "image-size": "pass",
            "memory": "pass",
            "dockerfile-lint": "pass",
        },
        Turned(
            {
                "Dockerfile": (
                    'CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000",',
                    'CMD ["sh", "-c", "uvicorn app.main:app --host 0.0.0.0 --port 8000; true",',
                )
            },
            DEAF,
        ),
        says={"starts": "8000"},
    ),
    "shell_form": Project(
        {**DEAF, "inflight-requests-finish": "pass", "starts": "pass"},
        Turned({"Dockerfile": exec_form_of("CMD uvicorn app.main:app --host 0.0.0.0 --port 80", 80)}, HEARS),
        says={"starts": "80", "stops-on-sigterm": "11|CMD uvicorn", "pid-1": "sh"},
    ),
    "shell_with_exec": Project(HEARS, Turned({"Dockerfile": ("CMD exec uvicorn", "CMD uvicorn")}, DEAF)),
    "entrypoint_script": Project(HEARS, Turned({"entrypoint.sh": ('exec "$@"', '"$@"')}, DEAF)),
    "entrypoint_script_no_exec": Project(
        DEAF,
        Turned(
            {
                "start.sh": (
                    'uvicorn app.main:app --host 0.0.0.0 --port 8000\necho "the server has ended"',
                    "exec uvicorn app.main:app --host 0.0.0.0 --port 8000",
                )
            },
            HEARS,
        ),
        says={"stops-on-sigterm": r"start\.sh"},
    ),
    # A shell that passes the signal on is as good as none.
    "script_with_trap": Project(HEARS, Turned({"start.sh": ("trap 'kill -TERM \"$server\"' TERM\n", "")}, DEAF)),
    "piped_to_tee": Project(
        DEAF,
        Turned(
            {
                "Dockerfile": (
                    "CMD uvicorn app.main:app --host 0.0.0.0 --port 8000 2>&1 | tee /tmp/server.log",
                    "CMD uvicorn app.main:app --host 0.0.0.0 --port 8000",
                )
            },
            HEARS,
        ),
    ),  # bash replaces itself for one command
    "ash": Project(
        HEARS,  # BusyBox' shell replaces itself, too; dash does not
        Turned({"Dockerfile": ("RUN ln -sf /bin/busybox /bin/sh\n", "")}, DEAF),
    ),
    "gunicorn_uvicorn_workers": Project(
        {**HEARS, "workers-stop": "pass"},
        Turned(IN_SHELL_FORM, {**DEAF, "workers-stop": "fail"}),
    ),
    "hypercorn": Project(HEARS, Turned(IN_SHELL_FORM, DEAF)),
    "granian": Project(
        {"stops-on-sigterm": "pass", "lifespan-shutdown": "pass", "pid-1": "pass"},
        Turned(IN_SHELL_FORM, DEAF),
    ),
    "uv_run": Project(
        HEARS,  # uv stays PID 1, and passes the signal on
        Turned(IN_SHELL_FORM, DEAF),
    ),
    "poetry_run": Project(
        HEARS,  # Poetry becomes the server
        Turned(IN_SHELL_FORM, DEAF),
    ),
    "python_m": Project(
        {**HEARS, "health-check": "pass"},  # its health check is asked at the usual 30 s only
        Turned(IN_SHELL_FORM, DEAF),
        says={"starts": "8080"},
    ),
    "single_file": Project(
        {"starts": "pass", "stops-on-sigterm": "pass", "pid-1": "pass", "stream-does-not-block-stop": "pass"},
        Turned(
            {"main.py": (", timeout_graceful_shutdown=4", "")},
            {"stream-does-not-block-stop": "warn", "stops-on-sigterm": "pass"},
        ),
        says={"starts": "5000"},
    ),
    "port_from_environment": Project(
        {"starts": "pass", **HEARS},  # EXPOSE names another port than the one it listens on
        Turned({"Dockerfile": ("CMD exec uvicorn", "CMD uvicorn")}, DEAF),
        says={"starts": "9000"},
    ),
    "tini": Project(
        HEARS,  # exit code 143: Uvicorn sends itself the signal anew, and it is not PID 1 here
        Turned(
            IN_SHELL_FORM,
            {
                "lifespan-shutdown": "fail",
                "inflight-requests-finish": "fail",
                "pid-1": "fail",
                "stops-on-sigterm": "pass",
            },
        ),
    ),
    "dumb_init": Project(
        HEARS,
        # dumb-init sends the signal to the whole session, so the shell in between does no harm ...
        Turned(
            {
                "Dockerfile": (
                    'ENTRYPOINT ["dumb-init"]',
                    'ENTRYPOINT ["dumb-init", "--single-child", "sh", "-c", "\\"$@\\"; true", "sh"]',
                )
            },
            {"lifespan-shutdown": "fail", "pid-1": "fail"},
        ),
    ),
    "init_swallows": Project(
        # The stop is fast, and all is lost: the shell dies of the signal, and the server with it.
        {"lifespan-shutdown": "fail", "inflight-requests-finish": "fail", "pid-1": "fail", "stops-on-sigterm": "pass"},
        Turned(
            {"Dockerfile": ('"sh", "-c", "uvicorn', '"sh", "-c", "exec uvicorn')},
            {
                "lifespan-shutdown": "pass",
                "inflight-requests-finish": "pass",
                "pid-1": "pass",
                "stops-on-sigterm": "pass",
            },
        ),
    ),
    "ignores_sigterm": Project(
        {"stops-on-sigterm": "fail", "lifespan-shutdown": "fail", "pid-1": "pass"},
        Turned(
            {
                "app/main.py": (
                    '    signal.signal(signal.SIGTERM, lambda number, frame: print("later", flush=True))\n',
                    "",
                )
            },
            HEARS,
        ),
    ),
    "wrong_stop_signal": Project(
        {"stops-on-sigterm": "fail", "lifespan-shutdown": "fail"},
        Turned({"Dockerfile": ("STOPSIGNAL SIGUSR1\n", "STOPSIGNAL SIGINT\n")}, HEARS),
        says={"stops-on-sigterm": "SIGUSR1"},
    ),
    "drain_too_short": Project(
        {"inflight-requests-finish": "fail", "stops-on-sigterm": "pass", "stream-does-not-block-stop": "pass"},
        Turned(
            {"Dockerfile": ('"--timeout-graceful-shutdown", "1"', '"--timeout-graceful-shutdown", "6"')},
            {"inflight-requests-finish": "pass", "stream-does-not-block-stop": "pass"},
        ),
    ),
    "streaming_app": Project(
        {"stream-does-not-block-stop": "warn", "stops-on-sigterm": "pass", "inflight-requests-finish": "pass"},
        Turned(
            {"Dockerfile": ('"--port", "8000"', '"--port", "8000", "--timeout-graceful-shutdown", "4"')},
            {"stream-does-not-block-stop": "pass", "inflight-requests-finish": "pass"},
        ),
        says={"stream-does-not-block-stop": "timeout-graceful-shutdown"},
    ),
    "workers": Project(
        {**HEARS, "workers-stop": "pass"},
        Turned(IN_SHELL_FORM, {**DEAF, "workers-stop": "fail"}),
    ),
    # --- applications of other shapes ---
    "app_factory": Project(
        {
            "starts": "pass",
            "inflight-requests-finish": "pass",
            "rejects-forged-client": "pass",
            "behind-tls-proxy": "warn",
        },
        Turned(
            {"Dockerfile": ('"--factory"', '"--factory", "--forwarded-allow-ips", "*"')},
            {"rejects-forged-client": "warn", "behind-tls-proxy": "pass"},
        ),
    ),
    "mounted_sub_app": Project(
        HEARS,
        Turned(
            {"app/main.py": ("CLOSING_SECONDS = 0.1", "CLOSING_SECONDS = 60")},
            {"stops-on-sigterm": "fail", "lifespan-shutdown": "fail"},
        ),
    ),
    "flask_app": Project(
        {
            "starts": "pass",
            "stops-on-sigterm": "pass",
            "lifespan-shutdown": "not measured",
            "inflight-requests-finish": "not measured",
            "stream-does-not-block-stop": "not measured",
            "behind-tls-proxy": "not measured",
            "rejects-forged-client": "not measured",
        },
        Turned(IN_SHELL_FORM, {"stops-on-sigterm": "fail", "pid-1": "fail"}),
    ),
    "plain_asgi": Project(
        {
            "starts": "pass",
            "lifespan-shutdown": "pass",
            "inflight-requests-finish": "not measured",
            "behind-tls-proxy": "not measured",
        },
        Turned(
            {
                "main.py": (
                    'await send({"type": f"{event}.complete"})',
                    'await send({"type": "lifespan.startup.complete" if "up" in event[-2:] else f"{event}.failed"})',
                )
            },
            {"lifespan-shutdown": "fail", "stops-on-sigterm": "pass"},
        ),
    ),
    "shutdown_raises": Project(
        {"lifespan-shutdown": "fail", "stops-on-sigterm": "pass", "pid-1": "pass"},
        Turned({"app/main.py": ('raise RuntimeError("the pool is gone")', 'print("the pool is closed")')}, HEARS),
    ),
    "python_isolated": Project(
        {"lifespan-shutdown": "pass", "inflight-requests-finish": "not measured", "behind-tls-proxy": "not measured"},
        Turned(
            {"Dockerfile": ('"python", "-I", ', '"python", ')},
            {"lifespan-shutdown": "pass", "inflight-requests-finish": "pass", "behind-tls-proxy": "warn"},
        ),
        says={"inflight-requests-finish": "isolated|-I"},
    ),
    # --- what cannot be audited, and why ---
    "fails_at_start": Project(
        {},
        Turned(
            {"app/main.py": ('\n\nraise RuntimeError("the model is not where it should be")', "")}, {"starts": "pass"}
        ),
        told="the model is not where it should be",
    ),
    "needs_a_variable": Project(
        {}, Turned({}, {"starts": "pass"}, options=("--env", "SERVICE_TITLE=Shop")), told=r"SERVICE_TITLE"
    ),
    "needs_a_setting": Project(
        {}, Turned({}, {"starts": "pass"}, options=("--env", "MAIL_SERVER=mail")), told=r"(?i)MAIL_SERVER"
    ),
    "needs_a_database": Project(
        {},
        Turned(
            {
                "app/main.py": (
                    "    with socket.create_connection(DATABASE, timeout=3):\n        yield\n",
                    "    yield\n",
                )
            },
            {"starts": "pass"},
        ),
        told=r"(?i)postgres|db:5432|database",
    ),
    "listens_on_localhost": Project(
        {},
        Turned({"Dockerfile": ('"--port"', '"--host", "0.0.0.0", "--port"')}, {"starts": "pass"}),
        told=r"127\.0\.0\.1",
    ),
    "build_fails": Project(
        {},
        Turned(
            {"Dockerfile": ("RUN python -c \"raise SystemExit('the wheel cannot be compiled here')\"\n", "")},
            {"builds": "pass"},
        ),
        told="the wheel cannot be compiled here",
    ),
    "no_dockerfile": Project(
        {},
        Turned(
            {
                "Dockerfile": "ARG BASE_IMAGE=python:3.13.9-slim\nFROM ${BASE_IMAGE}\nWORKDIR /code\n"
                "COPY . .\nRUN pip install -r requirements.txt\n"
                f"CMD [{SERVE}]\n"
            },
            {"starts": "pass", "code-change-keeps-dependencies-cached": "fail"},
        ),
        told="Dockerfile",
    ),
    "base_image_missing": Project(
        {},
        Turned({}, {"starts": "pass"}, options=("--base", "our-team/python-that-is-nowhere:3.13")),
        told=r"our-team/python-that-is-nowhere:3\.13[\s\S]*--base",
    ),
    "monorepo": Project(
        {"starts": "pass", "stops-on-sigterm": "pass"},
        Turned({}, told="Dockerfile", options=()),
        options=("--dockerfile", "services/api/Dockerfile"),
    ),
    "compose_project": Project(
        {"starts": "pass", "stops-on-sigterm": "pass", "pid-1": "pass"},
        Turned(
            {
                "compose.yaml": (
                    '["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "7000"]',
                    "sh -c 'uvicorn app.main:app --host 0.0.0.0 --port 7000; true'",
                )
            },
            {"stops-on-sigterm": "fail", "pid-1": "fail"},
        ),
        options=("--compose", "compose.yaml", "--service", "web"),
        says={"starts": "7000"},
    ),
    # --- the build ---
    "copies_site_packages": Project(
        {**HEARS, "image-size": "pass", "code-change-keeps-dependencies-cached": "pass"},
        Turned(
            {"Dockerfile": ("WORKDIR /build\n", "WORKDIR /build\nCOPY . .\n")},
            {"code-change-keeps-dependencies-cached": "fail"},
        ),
    ),
    "multi_stage": Project(
        {**HEARS, "image-size": "pass", "code-change-keeps-dependencies-cached": "pass"},
        Turned(
            {"Dockerfile": ("COPY requirements.txt .\n", "COPY . .\n")},
            {"code-change-keeps-dependencies-cached": "fail"},
        ),
    ),
    "copies_code_first": Project(
        {"code-change-keeps-dependencies-cached": "fail", "unchanged-rebuild-cached": "pass"},
        Turned(
            {
                "Dockerfile": (
                    "COPY . .\nRUN pip install --no-cache-dir -r requirements.txt\n",
                    "COPY requirements.txt .\nRUN pip install --no-cache-dir -r requirements.txt\nCOPY . .\n",
                )
            },
            {"code-change-keeps-dependencies-cached": "pass"},
        ),
        says={"code-change-keeps-dependencies-cached": r"COPY \. \.|\b6\b"},
    ),
    "env_file_in_context": Project(
        {"build-context": "fail", "secrets-in-layers": "fail"},
        Turned({".dockerignore": "**/__pycache__\n.env\n"}, {"build-context": "pass", "secrets-in-layers": "pass"}),
        says={"build-context": r"\.env", "secrets-in-layers": r"\.env"},
    ),
    "git_in_context": Project(
        {"build-context": "warn"},
        Turned({".dockerignore": ".git\n.venv\n"}, {"build-context": "pass"}),
        adds={
            ".git/HEAD": "ref: refs/heads/main\n",
            ".git/config": "[core]\n\tbare = false\n",
            ".venv/pyvenv.cfg": "home = /usr/bin\n",
        },
        says={"build-context": r"\.git[\s\S]*\.venv|\.venv[\s\S]*\.git"},
    ),
    "secret_in_build_arg": Project(
        {"secrets-in-layers": "fail"},
        Turned(
            {"Dockerfile": lambda text: re.sub(r"ARG INDEX_PASSWORD.*\nRUN .*\n", "", text)},
            {"secrets-in-layers": "pass"},
        ),
        says={"secrets-in-layers": "INDEX_PASSWORD"},
    ),
    "secret_file_deleted_later": Project(
        {"secrets-in-layers": "fail", "build-context": "fail"},
        Turned(
            {
                "Dockerfile": lambda text: re.sub(r"COPY deploy_key.*\nRUN .*\n", "", text),
                ".dockerignore": ".git\ndeploy_key\n",
            },
            {"secrets-in-layers": "pass", "build-context": "pass"},
        ),
        says={"secrets-in-layers": "id_ed25519", "build-context": "deploy_key"},
    ),
    "large_image": Project(
        {"image-size": "warn"},
        Turned({"Dockerfile": ("RUN head -c 250000000 /dev/urandom > /opt/model.bin\n", "")}, {"image-size": "pass"}),
    ),
    "lint_error": Project(
        {"dockerfile-lint": "fail"},
        Turned({"Dockerfile": ("ADD app app", "COPY app app")}, {"dockerfile-lint": "pass"}),
        says={"dockerfile-lint": "DL3020"},
    ),
    # --- what it may do, and what it believes ---
    "root_user": Project(
        {"non-root": "warn", "health-check": "pass", "read-only-root": "pass"},
        Turned(
            {"Dockerfile": ("EXPOSE 8000", "USER nobody\nEXPOSE 8000")}, {"non-root": "pass", "health-check": "pass"}
        ),
    ),
    "writes_to_its_folder": Project(
        {"read-only-root": "warn"},
        Turned({"app/main.py": ("/code/cache/thumbnails", "/tmp/thumbnails")}, {"read-only-root": "pass"}),
        says={"read-only-root": "/code/cache"},
    ),
    "hungry": Project(
        {"memory": "warn"},
        Turned({"app/main.py": ("MODEL_MEGABYTES = 420", "MODEL_MEGABYTES = 100")}, {"memory": "pass"}),
    ),
    "health_check_curl_missing": Project(
        {"health-check": "fail"},
        Turned(
            {
                "Dockerfile": (
                    "CMD curl --fail http://localhost:8000/ || exit 1",
                    'CMD ["python", "-c", "import urllib.request as r; r.urlopen(\'http://localhost:8000/\')"]',
                )
            },
            {"health-check": "pass"},
        ),
        says={"health-check": "curl"},
    ),
    "health_check_wrong_port": Project(
        {"health-check": "fail"},
        Turned({"Dockerfile": ("http://127.0.0.1:80/", "http://127.0.0.1:8000/")}, {"health-check": "pass"}),
    ),
    "trusts_everybody": Project(
        {"behind-tls-proxy": "pass", "rejects-forged-client": "warn"},
        Turned({"Dockerfile": ('"*"', f'"{PRIVATE}"')}, {"behind-tls-proxy": "pass", "rejects-forged-client": "pass"}),
    ),
    "trusts_its_proxy": Project(
        {"behind-tls-proxy": "pass", "rejects-forged-client": "pass"},
        Turned(
            {"Dockerfile": (f"ENV FORWARDED_ALLOW_IPS={PRIVATE}\n", "")},
            {"behind-tls-proxy": "warn", "rejects-forged-client": "pass"},
        ),
    ),
}
