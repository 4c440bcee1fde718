"""Seeded faults: the mistakes that the lessons warn of. `make prove` makes each in a copy, and the lesson must notice.

A new lesson arrives with at least three. A fault breaks what is measured, never the assertion.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One mistake, made by replacing one text in the code of one lesson.

    Attributes:
        lesson: the notebook's name without its suffix: ``03_exec_or_shell``.
        name: what is wrong, in a few words.
        find: a text that occurs exactly once in the lesson's code cells (the files that they write included).
        replace: what stands in its place.
        red_at: the id of the cell that has to fail; or several, of which any may.
        error: the error's name, where a typed command has to fail, and not a claim.
    """

    lesson: str
    name: str
    find: str
    replace: str
    red_at: str | tuple[str, ...]
    error: str = ""

    @property
    def claims(self) -> tuple[str, ...]:
        """The cells of which one has to fail."""
        return (self.red_at,) if isinstance(self.red_at, str) else self.red_at

    def __str__(self) -> str:
        return f"{self.lesson}: {self.name}"


READS = "text = (sample_app / name).read_text()"
"""How lesson 02 reads each file of the sample app."""


def in_sample_app(find: str, replace: str) -> str:
    """The same, and then breaks it."""
    return f"{READS}.replace({find!r}, {replace!r})"


FAULTS: list[Fault] = [
    Fault(
        "00_start_here",
        "the folder of another place is served",
        find='"--directory", "/etc"',
        replace='"--directory", "/var"',
        red_at="ask",
    ),
    Fault(
        "00_start_here",
        "an init passes the signal on",
        find="detach=True,",
        replace="detach=True, init=True,",
        red_at="stop",
    ),
    Fault(
        "01_project_structure",
        "the package keeps its __init__.py",
        find='if variant == "without":',
        replace='if variant == "neither":',
        red_at="init-measure",
    ),
    Fault(
        "01_project_structure",
        "the import does not need the package",
        find="from .prices import PRICES",
        replace="import json",
        red_at="init-measure",
    ),
    Fault(
        "01_project_structure",
        "the file with the password is not in .dockerignore",
        find="*.log\n.env",
        replace="*.log",
        red_at="context-after",
    ),
    Fault(
        "01_project_structure",
        "the careless Dockerfile is not careless",
        find='COPY . /code\n""")',
        replace='COPY requirements.txt /code/\n""")',
        red_at="secret",
    ),
    Fault(
        "01_project_structure",
        "the single file is started as if it were in a package",
        find='COPY ./main.py /code/\n\nCMD ["fastapi", "run", "main.py"',
        replace='COPY ./main.py /code/\n\nCMD ["fastapi", "run", "app/main.py"',
        red_at="single-run",
    ),
    Fault(
        "02_build_and_run",
        "the item route returns a string",
        find=READS,
        replace=in_sample_app('{"item_id": item_id, "q": q}', "str(item_id)"),
        red_at="run",
    ),
    Fault(
        "02_build_and_run",
        "the item route takes any text",
        find=READS,
        replace=in_sample_app("item_id: int,", "item_id: str,")
        + """.replace('"item_id": item_id', '"item_id": int(item_id) if item_id.isdigit() else 0')""",
        red_at="not-a-number",
    ),
    Fault(
        "02_build_and_run",
        "the application brings no documentation",
        find=READS,
        replace=in_sample_app("lifespan=lifespan)", "lifespan=lifespan, docs_url=None)"),
        red_at="docs",
    ),
    Fault(
        "02_build_and_run",
        "the application does not print",
        find=READS,
        replace=in_sample_app('print("lifespan: startup", flush=True)', "pass"),
        red_at="logs",
    ),
    Fault(
        "02_build_and_run",
        "the Dockerfile names another port",
        find=READS,
        replace=in_sample_app('"--port", "80"', '"--port", "8080"'),
        red_at="what-is-there",
    ),
    Fault(
        "02_build_and_run",
        "the Dockerfile has an ENTRYPOINT in place of CMD",
        find=READS,
        replace=in_sample_app("CMD [", "ENTRYPOINT ["),
        red_at="what-is-there",
    ),
    Fault(
        "02_build_and_run",
        "the Dockerfile copies everything",
        find=READS,
        replace=in_sample_app("COPY ./app /code/app", "COPY . /code"),
        red_at="other-command",
    ),
    Fault(
        "02_build_and_run",
        "the build context is the project after all",
        find='build(lab, ".", dockerfile="project/Dockerfile"',
        replace='build(lab, "project", dockerfile="Dockerfile"',
        red_at="dot",
    ),
    Fault(
        "02_build_and_run",
        "the unpublished container is published",
        find="run(exposed.image, detach=True,",
        replace='run(exposed.image, detach=True, ports={"80/tcp": ("127.0.0.1", None)},',
        red_at="expose",
    ),
    Fault(
        "02_build_and_run",
        "the engine may pick another port",
        find='ports={"80/tcp": ("127.0.0.1", port)}',
        replace='ports={"80/tcp": ("127.0.0.1", None)}',
        red_at="port-taken",
    ),
    Fault(
        "02_build_and_run",
        "what the container writes gets into the image",
        find='new = lab.client.containers.run(built.image, ["sleep"',
        replace='first.commit(*built.image.split(":"))\nnew = lab.client.containers.run(built.image, ["sleep"',
        red_at="writes",
    ),
    Fault(
        "02_build_and_run",
        "a start does not find what was written before the stop",
        find="first.start()  # docker start first",
        replace='first.start()\nfirst.exec_run(["rm", NOTE])',
        red_at="lasts",
    ),
    Fault(
        "02_build_and_run",
        "the shell does not end before its application",
        find='app/main.py --port 80 &"],',
        replace='app/main.py --port 80 & sleep 3; exit 1"],',
        red_at="lives",
    ),
    Fault(
        "02_build_and_run",
        "the background process writes nothing",
        find="while sleep 0.1",
        replace="touch /beats; while false",
        red_at="background",
    ),
    Fault(
        "03_exec_or_shell",
        "the good Dockerfile has its CMD in shell form",
        'COPY ./app /code/app\n\nCMD ["fastapi", "run", "app/main.py", "--port", "80"]',
        "COPY ./app /code/app\n\nCMD fastapi run app/main.py --port 80",
        "claim-exec",
    ),
    Fault(
        "03_exec_or_shell",
        "the lifespan has no shutdown code",
        '    print("lifespan: shutdown", flush=True)\n\n\napp = FastAPI(lifespan=lifespan)\n\n\n'
        '@app.get("/")\ndef read_root() -> dict[str, str]:\n    return {"Hello"',
        "\n\napp = FastAPI(lifespan=lifespan)\n\n\n"
        '@app.get("/")\ndef read_root() -> dict[str, str]:\n    return {"Hello"',
        "claim-exec",
    ),
    Fault(
        "03_exec_or_shell",
        "the shell form says exec",
        "s#^CMD .*#CMD fastapi run",
        "s#^CMD .*#CMD exec fastapi run",
        "claim-shell",
    ),
    Fault(
        "03_exec_or_shell",
        "the entrypoint script forgets its exec",
        """, 'exec "$@"')""",
        """, '"$@"')""",
        "claim-scripts",
    ),
    Fault(
        "03_exec_or_shell",
        "bash is given one plain command, and no pipe",
        " 2>&1 | tee server.log",
        "",
        "claim-scripts",
    ),
    Fault(
        "03_exec_or_shell",
        "the shell form is started without --init",
        '"shell form, --init": Variant(image, command=["sh", "-c", COMMAND], init=True)',
        '"shell form, --init": Variant(image, command=["sh", "-c", COMMAND])',
        "claim-init",
    ),
    Fault(
        "03_exec_or_shell",
        "the grace period is shorter than the request",
        "in_flight=long, grace=12",
        "in_flight=long, grace=5",
        "claim-flight",
    ),
    Fault(
        "03_exec_or_shell",
        "the stream ends by itself",
        "while True:",
        "while count < 8:",
        "claim-flight",
    ),
    Fault(
        "03_exec_or_shell",
        "the drain timeout is longer than the grace period",
        '"1 uvicorn, 2 s": Variant(exec_form, command=[*uvicorn, drain, "2"]',
        '"1 uvicorn, 2 s": Variant(exec_form, command=[*uvicorn, drain, "8"]',
        "claim-drain",
    ),
    Fault(
        "03_exec_or_shell",
        "the environment variable is misspelt",
        '{"UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN": "2"}',
        '{"UVICORN_GRACEFUL_SHUTDOWN_TIMEOUT": "2"}',
        "claim-drain",
    ),
    Fault(
        "03_exec_or_shell",
        "a typed command fails",
        "--file project/exec.Dockerfile",
        "--file project/exec.Dockerfil",
        "start-exec",
        error="CalledProcessError",
    ),
    Fault(
        "04_layer_cache",
        "requirements-first copies the code before pip",
        "COPY ./requirements.txt /code/requirements.txt\n\n"
        "RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt\n\n"
        "COPY ./app /code/app\n\n"
        'CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "80"]',
        "COPY ./requirements.txt /code/requirements.txt\n\n"
        "COPY ./app /code/app\n\n"
        "RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt\n\n"
        'CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "80"]',
        "nothing",
    ),
    Fault(
        "04_layer_cache",
        "the second build ignores the cache",
        'again = build(lab, "requirements_first", progress=False)',
        'again = build(lab, "requirements_first", progress=False, no_cache=True)',
        "nothing",
    ),
    Fault(
        "04_layer_cache",
        "copy-everything copies the requirements only",
        "FROM ${BASE_IMAGE}\n\nWORKDIR /code\n\nCOPY . /code",
        "FROM ${BASE_IMAGE}\n\nWORKDIR /code\n\nCOPY ./requirements.txt /code/requirements.txt",
        "code-change",
    ),
    Fault(
        "04_layer_cache",
        "the code is saved unchanged",
        'main.write_text(main.read_text().replace("World", "Docker"))',
        "main.write_text(main.read_text())",
        "code-change",
    ),
    Fault(
        "04_layer_cache",
        "the new dependency is a comment",
        'file.write("python-multipart==0.0.34\\n")',
        'file.write("# python-multipart==0.0.34\\n")',
        "dependency-change",
    ),
    Fault(
        "04_layer_cache",
        "the touched file is another file",
        "        path.touch()",
        '        path.touch()\n    (project / "app" / "__init__.py").write_text("# touched")',
        "touched",
    ),
    Fault(
        "04_layer_cache",
        "the permissions stay as they are",
        ".chmod(0o755)",
        ".chmod((project / 'app' / 'main.py').stat().st_mode)",
        "touched",
    ),
    Fault(
        "04_layer_cache",
        "the flag is given in both images",
        'dockerfile.replace("--no-cache-dir ", "")',
        'dockerfile.replace("--no-such-flag ", "")',
        "no-cache-dir",
    ),
    Fault(
        "04_layer_cache",
        "the cache mount is lent to a pip that keeps nothing",
        "target=/root/.cache/pip pip install --upgrade",
        "target=/root/.cache/pip pip install --no-cache-dir --upgrade",
        "cache-mount",
    ),
    Fault(
        "04_layer_cache",
        "the cache mount is at another path",
        "target=/root/.cache/pip pip install --upgrade",
        "target=/root/.cache/uv pip install --upgrade",
        "cache-mount",
    ),
    Fault(
        "06_tls_proxy",
        "the application that trusts everybody trusts nobody",
        find='"star": Variant(app_image, [*RUN, TRUST, "*"])',
        replace='"star": Variant(app_image, [*RUN, TRUST, ""])',
        red_at="matrix-claims",
    ),
    Fault(
        "06_tls_proxy",
        "the CIDR is that of another network",
        find='"cidr": Variant(app_image, [*RUN, TRUST, subnet(apps)])',
        replace='"cidr": Variant(app_image, [*RUN, TRUST, subnet(web)])',
        red_at="matrix-claims",
    ),
    Fault(
        "06_tls_proxy",
        "--no-proxy-headers is left out",
        find='"off": Variant(app_image, [*RUN, "--no-proxy-headers", TRUST, "*"])',
        replace='"off": Variant(app_image, [*RUN, TRUST, "*"])',
        red_at="matrix-claims",
    ),
    Fault(
        "06_tls_proxy",
        "the proxy does not pass Host",
        find="        proxy_set_header Host              $host;\n",
        replace="",
        red_at="first",
    ),
    Fault(
        "06_tls_proxy",
        "the proxy does not tell the scheme",
        find="Host              $host;\n        proxy_set_header X-Forwarded-Proto $scheme;\n",
        replace="Host              $host;\n",
        red_at="first",
    ),
    Fault(
        "06_tls_proxy",
        "the proxy's certificate is of an authority that nobody knows",
        find="copy_into(nginx, certificate_files(certificate))",
        replace='copy_into(nginx, certificate_files(trustme.CA().issue_cert("*.usual.example")))',
        red_at="start-proxy",
    ),
    Fault(
        "06_tls_proxy",
        "the careful proxy appends",
        find="Host              $http_host;\n        proxy_set_header X-Forwarded-Proto $scheme;\n"
        "        proxy_set_header X-Forwarded-For   $remote_addr;\n    }",
        replace="Host              $http_host;\n        proxy_set_header X-Forwarded-Proto $scheme;\n"
        "        proxy_set_header X-Forwarded-For   $proxy_add_x_forwarded_for;\n    }",
        red_at="forgery-claims",
    ),
    Fault(
        "06_tls_proxy",
        "the proxy passes the host without its port",
        find="        proxy_pass http://$app;\n        proxy_set_header Host              $http_host;",
        replace="        proxy_pass http://$app;\n        proxy_set_header Host              $host ;",
        red_at="host",
    ),
    Fault(
        "06_tls_proxy",
        "--root-path is left out",
        find=', "--root-path", "/api"]',
        replace="]",
        red_at="prefix",
    ),
    Fault(
        "06_tls_proxy",
        "the prefix is not stripped",
        find="        rewrite ^/api(/.*)$ $1 break;\n",
        replace="",
        red_at="prefix",
    ),
    Fault(
        "06_tls_proxy",
        "the finished site does not pass Upgrade",
        find="        proxy_set_header Upgrade    $http_upgrade;\n",
        replace="",
        red_at="streams",
    ),
    Fault(
        "06_tls_proxy",
        "the finished site collects answers",
        find="        proxy_buffering off;\n",
        replace="",
        red_at="streams",
    ),
    Fault(
        "06_tls_proxy",
        "the name is written into the finished site",
        find="        proxy_pass $app;\n",
        replace="        proxy_pass http://app;\n",
        red_at="deploy",
    ),
    Fault(
        "06_tls_proxy",
        "the old version is killed, not stopped",
        find='version_1["app"].container.stop()',
        replace='version_1["app"].container.kill()',
        red_at="deploy",
    ),
    Fault(
        "05_compose",
        "a service is started that the file does not have",
        find="up --wait unchecked",
        replace="up --wait uncheckd",
        red_at="ready",
        error="CalledProcessError",
    ),
    Fault(
        "05_compose",
        "the health check is always content",
        find="""timeout=2)"]\n      interval: 1s\n      retries: 30""",
        replace="""timeout=2) if False else 0"]\n      interval: 1s\n      retries: 30""",
        red_at="claim-ready",
    ),
    Fault(
        "05_compose",
        "the list starts a shell",
        find="""list:\n    <<: *web\n    command: ["fastapi", "run", "app/main.py", "--port", "80"]""",
        replace="""list:\n    <<: *web\n    command: sh -c "fastapi run app/main.py --port 80 && true\"""",
        red_at="claim-command",
    ),
    Fault(
        "05_compose",
        "init is left out",
        find="    init: true\n\n  shell-exec:",
        replace="\n  shell-exec:",
        red_at="claim-keys",
    ),
    Fault(
        "05_compose",
        "the shell does not hand over",
        find="exec fastapi run app/main.py --port 80",
        replace="fastapi run app/main.py --port 80",
        red_at="claim-keys",
    ),
    Fault(
        "05_compose",
        "stop_grace_period is left out",
        find="--timeout-graceful-shutdown 20\n    stop_grace_period: 30s",
        replace="--timeout-graceful-shutdown 20",
        red_at="claim-grace",
    ),
    Fault(
        "05_compose",
        "the drain timeout is longer than the grace period",
        find="--timeout-graceful-shutdown 3\n",
        replace="--timeout-graceful-shutdown 70\n",
        red_at="claim-grace",
    ),
    Fault(
        "05_compose",
        "the health check is never content",
        find="""timeout=2)"]\n      interval: 2s\n      retries: 15\n    stop_grace_period: 30s""",
        replace="""timeout=2); exit(1)"]\n      interval: 2s\n      retries: 3\n    stop_grace_period: 30s""",
        red_at="migrate",
        error="CalledProcessError",
    ),
    Fault(
        "05_compose",
        "the migration is not repeatable",
        find="    if version < 1:",
        replace="    if True:",
        red_at="migrate",
        error="CalledProcessError",
    ),
    Fault(
        "05_compose",
        "the migration fails silently",
        find="""command: ["python", "-m", "app.migrate"]""",
        replace="""command: sh -c "python -m app.migrate || true\"""",
        red_at="claim-fail",
    ),
    Fault(
        "05_compose",
        "the application does not wait for the migration",
        find='condition: service_completed_successfully\n    healthcheck:\n      test: ["CMD", "python", "-c", "import urllib.request as r; r.urlopen(\'http://127.0.0.1/\', timeout=2)"]\n      interval: 2s\n      retries: 15\n    stop_grace',
        replace='condition: service_started\n    healthcheck:\n      test: ["CMD", "python", "-c", "import urllib.request as r; r.urlopen(\'http://127.0.0.1/\', timeout=2)"]\n      interval: 2s\n      retries: 15\n    stop_grace',
        red_at="migrate",
        error="CalledProcessError",
    ),
    Fault(
        "05_compose",
        "down removes the volumes, too",
        find="docker compose --file project/compose.yaml {command}",
        replace="docker compose --file project/compose.yaml {command} --volumes",
        red_at="claim-fail",
    ),
    Fault(
        "05_compose",
        "the policy does not look at the exit code",
        find="    restart: on-failure",
        replace="    restart: always",
        red_at="claim-restart",
    ),
    Fault(
        "05_compose",
        "there is no memory limit",
        find="  mem_limit: 512m\n  memswap_limit: 512m\n",
        replace="",
        red_at="claim-memory",
    ),
    Fault(
        "07_replicas",
        "the proxy keeps an address for as long as it is told",
        find="resolver 127.0.0.11 valid=1s ipv6=off;",
        replace="resolver 127.0.0.11 ipv6=off;",
        red_at="default",
    ),
    Fault(
        "07_replicas",
        "one replica, and the old one goes first",
        find="      replicas: 3\n      endpoint_mode: dnsrr\n      update_config:\n        order: start-first",
        replace="      replicas: 1\n      endpoint_mode: dnsrr\n      update_config:\n        order: stop-first",
        red_at="good",
    ),
    Fault(
        "07_replicas",
        "version 3 is in exec form",
        find='shell_form = "CMD fastapi run app/main.py --port 80"',
        replace="shell_form = exec_form",
        red_at="shell",
    ),
    Fault(
        "07_replicas",
        "the health check always succeeds",
        find="""test: ["CMD", "python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1/', timeout=2)"]""",
        replace='test: ["CMD", "true"]',
        red_at=("good", "shell", "sick"),
    ),
    Fault(
        "07_replicas",
        "a failed update is only paused",
        find="failure_action: rollback",
        replace="failure_action: pause",
        red_at="sick",
    ),
    Fault(
        "09_audit_your_own",
        "the project is started in exec form from the beginning",
        find="CMD uvicorn app.main:app --host 0.0.0.0 --port 8000",
        replace='CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"]',
        red_at="lint",
    ),
    Fault(
        "09_audit_your_own",
        "no token lies beside the Dockerfile",
        find=r"PAYMENT_TOKEN=tok-live-4711\n",
        replace="",
        red_at="audit-before",
    ),
    Fault(
        "09_audit_your_own",
        "the exec form starts a shell",
        find='-r requirements.txt\n\nEXPOSE 8000\n\nCMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"]',
        replace='-r requirements.txt\n\nEXPOSE 8000\n\nCMD ["sh", "-c", "uvicorn app.main:app --host 0.0.0.0 --port 8000; true"]',
        red_at="first",
    ),
    Fault(
        "09_audit_your_own",
        "the code is copied first",
        find="COPY requirements.txt /code/\n\nRUN pip install --no-cache-dir --upgrade -r requirements.txt\n\nCOPY app /code/app\n\nEXPOSE",
        replace="COPY . /code/\n\nRUN pip install --no-cache-dir --upgrade -r requirements.txt\n\nEXPOSE",
        red_at="second",
    ),
    Fault(
        "09_audit_your_own",
        "the file with the token is not ignored",
        find=".env\n.git\n.venv",
        replace=".git\n.venv",
        red_at="second",
    ),
    Fault(
        "09_audit_your_own",
        "the application runs as root",
        find="USER 10001\n\n",
        replace="",
        red_at="audit-after",
    ),
    Fault(
        "09_audit_your_own",
        "everybody is trusted",
        find='"10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"',
        replace='"*"',
        red_at="audit-after",
    ),
    Fault(
        "08_production_image",
        "the virtual environment and the password are sent to the builder",
        find=".venv\n**/__pycache__\n*.log\n.env",
        replace="**/__pycache__\n*.log",
        red_at="dockerignore",
    ),
    Fault(
        "08_production_image",
        "the page's Dockerfile copies the code before it installs",
        find="COPY ./requirements.txt /code/requirements.txt\n\nRUN pip install --no-cache-dir --upgrade",
        replace="COPY . /code\n\nRUN pip install --no-cache-dir --upgrade",
        red_at="code-change",
    ),
    Fault(
        "08_production_image",
        "the production image runs as root",
        find="USER 10001:10001\n\nSTOPSIGNAL",
        replace="USER 0:0\n\nSTOPSIGNAL",
        red_at="root",
    ),
    Fault(
        "08_production_image",
        "the health check is always true",
        find='CMD ["python", "-c", "import urllib.request as r; r.urlopen(\'http://127.0.0.1/\', timeout=2)"]',
        replace='CMD ["true"]',
        red_at="health",
    ),
    Fault(
        "08_production_image",
        "the token is copied out of the first stage",
        find="COPY --from=build /result.txt /result.txt",
        replace="COPY --from=build /tmp/token.txt /result.txt",
        red_at="secrets",
    ),
]
