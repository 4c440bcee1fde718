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


FAULTS: list[Fault] = [
    Fault(
        "00_start_here",
        "the folder of another place is served",
        find="--directory /etc",
        replace="--directory /var",
        red_at="claim-request",
    ),
    Fault(
        "00_start_here",
        "an init is PID 1",
        find="!docker run --detach",
        replace="!docker run --detach --init",
        red_at="claim-processes",
    ),
    Fault(
        "00_start_here",
        "the stop signal is one that the server has a handler for",
        find="!docker run --detach",
        replace="!docker run --detach --stop-signal INT",
        red_at="claim-stop",
    ),
    Fault(
        "00_start_here",
        "another port is published than the one that the server listens on",
        find="--publish 127.0.0.1::80 ",
        replace="--publish 127.0.0.1::8000 ",
        red_at="request",
        error="LabError",
    ),
    Fault(
        "01_project_structure",
        "the package keeps its __init__.py",
        'Path("without/app/__init__.py").unlink()',
        'Path("without/app/__init__.py").touch()',
        "claim-init",
    ),
    Fault(
        "01_project_structure",
        "the import does not need the package",
        "from .prices import PRICES",
        "import json",
        "claim-init",
    ),
    Fault(
        "01_project_structure",
        "the Dockerfile names its files, and then copies all",
        "COPY ./app /code/app",
        "COPY . /code",
        "claim-named",
    ),
    Fault(
        "01_project_structure",
        "the careless Dockerfile is not careless",
        "COPY . /code",
        "COPY ./service /code/service",
        "claim-careless",
    ),
    Fault(
        "01_project_structure",
        "the later instruction deletes another file",
        "RUN rm .env",
        "RUN rm server.log",
        "claim-deleted",
    ),
    Fault(
        "01_project_structure",
        "the file with the password is not in .dockerignore",
        "*.log\n.env",
        "*.log",
        "claim-ignored",
    ),
    Fault(
        "01_project_structure",
        "the added pattern names one folder",
        '"**/.env"',
        '"app/.env"',
        "claim-any-folder",
    ),
    Fault(
        "01_project_structure",
        "the single file is started as if it were in a package",
        's#app/main.py#main.py#"',
        's#app/main.py#app/main.py#"',
        "single-run",
        error="AppCrashed",
    ),
    Fault(
        "02_build_and_run",
        "the Dockerfile names another port",
        'CMD ["fastapi", "run", "app/main.py", "--port", "80"]',
        'CMD ["fastapi", "run", "app/main.py", "--port", "8080"]',
        "claim-build",
    ),
    Fault(
        "02_build_and_run",
        "the Dockerfile has an ENTRYPOINT in place of CMD",
        'CMD ["fastapi"',
        'ENTRYPOINT ["fastapi"',
        "claim-build",
    ),
    Fault(
        "02_build_and_run",
        "the build context is the project after all",
        "--file project/Dockerfile . 2>&1",
        "--file project/Dockerfile project 2>&1",
        "claim-dot",
    ),
    Fault(
        "02_build_and_run",
        "a typed command fails",
        "\n    --publish 127.0.0.1::80 myimage-$LAB",
        "\n    myimage-$LAB",
        "run",
        error="CalledProcessError",
    ),
    Fault(
        "02_build_and_run",
        "the port is open to the whole network",
        "\n    --publish 127.0.0.1::80 myimage-$LAB",
        "\n    --publish 80 myimage-$LAB",
        "claim-run",
    ),
    Fault(
        "02_build_and_run",
        "the item route returns a string",
        'return {"item_id": item_id, "q": q}',
        "return str(item_id)",
        "claim-run",
    ),
    Fault(
        "02_build_and_run",
        "the unpublished container is published",
        "--name hidden-$LAB exposed-$LAB",
        "--name hidden-$LAB --publish 127.0.0.1::80 exposed-$LAB",
        "claim-ports",
    ),
    Fault(
        "02_build_and_run",
        "the engine may pick another port",
        "127.0.0.1:$TAKEN:80",
        "127.0.0.1::80",
        "claim-taken",
    ),
    Fault(
        "02_build_and_run",
        "the application does not print",
        'print(f"read_item was called with {item_id}", flush=True)',
        "pass",
        "claim-log",
    ),
    Fault(
        "02_build_and_run",
        "the Dockerfile copies everything",
        "COPY ./app /code/app",
        "COPY . /code",
        "claim-command",
    ),
    Fault(
        "02_build_and_run",
        "what the container writes gets into the image",
        "!docker rm --force mycontainer-$LAB",
        "!docker commit mycontainer-$LAB myimage-$LAB\n!docker rm --force mycontainer-$LAB",
        "claim-writes",
    ),
    Fault(
        "02_build_and_run",
        "a start does not find what was written before the stop",
        "!docker start mycontainer-$LAB",
        "!docker start mycontainer-$LAB\n!docker exec mycontainer-$LAB rm /code/note.txt",
        "claim-writes",
    ),
    Fault(
        "02_build_and_run",
        "the note is written into another volume",
        "--volume data-$LAB:/data myimage-$LAB touch",
        "--volume /data myimage-$LAB touch",
        "claim-writes",
    ),
    Fault(
        "02_build_and_run",
        "the shell does not end before its application",
        'app/main.py --port 80 &"',
        'app/main.py --port 80 & sleep 3; exit 1"',
        "claim-lives",
    ),
    Fault(
        "02_build_and_run",
        "the background process writes nothing",
        "while sleep 0.1",
        "touch /beats; while false",
        "claim-lives",
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
        "COPY ./app /code/app\n",
        "COPY ./requirements.txt /code/requirements.txt\n\n"
        "COPY ./app /code/app\n\n"
        "RUN pip install --no-cache-dir --upgrade -r /code/requirements.txt\n",
        "claim-again",
    ),
    Fault(
        "04_layer_cache",
        "the second build ignores the cache",
        "requirements_first 2>&1 | tee again.log",
        "--no-cache requirements_first 2>&1 | tee again.log",
        "claim-again",
    ),
    Fault(
        "04_layer_cache",
        "a typed build fails, and tee does not",
        "requirements_first 2>&1 | tee first.log",
        "requirements-first 2>&1 | tee first.log",
        "first-build",
        error="BuildFailed",
    ),
    Fault(
        "04_layer_cache",
        "copy-everything copies the requirements only",
        "#COPY . /code#",
        "#COPY ./requirements.txt /code/requirements.txt#",
        "claim-change",
    ),
    Fault(
        "04_layer_cache",
        "the code is saved unchanged",
        'main.write_text(main.read_text().replace("World", "Docker"))',
        "main.write_text(main.read_text())",
        "claim-change",
    ),
    Fault(
        "04_layer_cache",
        "the new dependency is a comment",
        "!printf 'python-multipart==0.0.34\\n' >> requirements_first/requirements.txt",
        "!printf '# python-multipart==0.0.34\\n' >> requirements_first/requirements.txt",
        "claim-dependency",
    ),
    Fault(
        "04_layer_cache",
        "the touched file is another file",
        "!touch requirements_first/* requirements_first/app/*",
        "!cp requirements_first/Dockerfile requirements_first/app/__init__.py\n!touch requirements_first/*",
        "claim-touched",
    ),
    Fault("04_layer_cache", "the permissions stay as they are", "!chmod +x", "!chmod +r", "claim-touched"),
    Fault(
        "04_layer_cache",
        "the first stage makes another file",
        "RUN sort /data/prices.csv",
        "RUN cat /data/prices.csv",
        "claim-stages",
    ),
    Fault(
        "04_layer_cache",
        "the flag is given in both images",
        "'s/--no-cache-dir //' requirements_first/Dockerfile > wheels/without_flag",
        "'s/--no-such-flag //' requirements_first/Dockerfile > wheels/without_flag",
        "claim-flag",
    ),
    Fault(
        "04_layer_cache",
        "the cache mount is lent to a pip that keeps nothing",
        "-e 's/--no-cache-dir //' -e",
        "-e 's/--no-such-flag //' -e",
        "claim-mount",
    ),
    Fault(
        "04_layer_cache",
        "the cache mount is at another path",
        "target=/root/.cache/pip#",
        "target=/root/.cache/uv#",
        "claim-mount",
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
        "the health check is always content",
        find="""timeout=2)"]\n      interval: 1s\n      retries: 30""",
        replace="""timeout=2) if False else 0"]\n      interval: 1s\n      retries: 30""",
        red_at="ready",
    ),
    Fault(
        "05_compose",
        "the list starts a shell",
        find="""a-list:\n    <<: *web\n    command: ["fastapi", "run", "app/main.py", "--port", "80"]""",
        replace="""a-list:\n    <<: *web\n    command: sh -c "fastapi run app/main.py --port 80 && true\"""",
        red_at="deploy",
    ),
    Fault(
        "05_compose",
        "init is left out",
        find="    init: true\n\n  shell-exec:",
        replace="\n  shell-exec:",
        red_at="signals",
    ),
    Fault(
        "05_compose",
        "the shell does not hand over",
        find="exec fastapi run app/main.py --port 80",
        replace="fastapi run app/main.py --port 80",
        red_at="signals",
    ),
    Fault(
        "05_compose",
        "stop_grace_period is left out",
        find="--timeout-graceful-shutdown 20\n    stop_grace_period: 30s",
        replace="--timeout-graceful-shutdown 20",
        red_at="drain",
    ),
    Fault(
        "05_compose",
        "the drain timeout is longer than the grace period",
        find="--timeout-graceful-shutdown 3\n",
        replace="--timeout-graceful-shutdown 70\n",
        red_at="drain",
    ),
    Fault(
        "05_compose",
        "the health check is never content",
        find="""timeout=2)"]\n      interval: 2s\n      retries: 15\n    stop_grace_period: 30s""",
        replace="""timeout=2); exit(1)"]\n      interval: 2s\n      retries: 3\n    stop_grace_period: 30s""",
        red_at="migrate",
    ),
    Fault(
        "05_compose",
        "the migration fails silently",
        find="""command: ["python", "-m", "app.migrate"]""",
        replace="""command: sh -c "python -m app.migrate || true\"""",
        red_at="fail",
    ),
    Fault(
        "05_compose",
        "the application does not wait for the migration",
        find='condition: service_completed_successfully\n    healthcheck:\n      test: ["CMD", "python", "-c", "import urllib.request as r; r.urlopen(\'http://127.0.0.1/\', timeout=2)"]\n      interval: 2s\n      retries: 15\n    stop_grace',
        replace='condition: service_started\n    healthcheck:\n      test: ["CMD", "python", "-c", "import urllib.request as r; r.urlopen(\'http://127.0.0.1/\', timeout=2)"]\n      interval: 2s\n      retries: 15\n    stop_grace',
        red_at=("migrate", "fail"),
    ),
    Fault(
        "05_compose",
        "down removes the volumes, too",
        find='shop.run("down", "--timeout", "5")',
        replace='shop.run("down", "--timeout", "5", "--volumes")',
        red_at="down",
    ),
    Fault(
        "05_compose",
        "the policy does not look at the exit code",
        find="    restart: on-failure",
        replace="    restart: always",
        red_at="restart",
    ),
    Fault(
        "05_compose",
        "there is no memory limit",
        find="  mem_limit: 512m\n  memswap_limit: 512m\n",
        replace="",
        red_at="oom",
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
        red_at="claim-lint",
    ),
    Fault(
        "09_audit_your_own",
        "no token lies beside the Dockerfile",
        find=r"PAYMENT_TOKEN=tok-live-4711\n",
        replace="",
        red_at="claim-before",
    ),
    Fault(
        "09_audit_your_own",
        "the exec form starts a shell",
        find='-r requirements.txt\n\nEXPOSE 8000\n\nCMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000"]',
        replace='-r requirements.txt\n\nEXPOSE 8000\n\nCMD ["sh", "-c", "uvicorn app.main:app --host 0.0.0.0 --port 8000; true"]',
        red_at="claim-first",
    ),
    Fault(
        "09_audit_your_own",
        "the code is copied first",
        find="COPY requirements.txt /code/\n\nRUN pip install --no-cache-dir --upgrade -r requirements.txt\n\nCOPY app /code/app\n\nEXPOSE",
        replace="COPY . /code/\n\nRUN pip install --no-cache-dir --upgrade -r requirements.txt\n\nEXPOSE",
        red_at="claim-second",
    ),
    Fault(
        "09_audit_your_own",
        "the file with the token is not ignored",
        find=".env\n.git\n.venv",
        replace=".git\n.venv",
        red_at="claim-second",
    ),
    Fault(
        "09_audit_your_own",
        "the application runs as root",
        find="USER 10001\n\n",
        replace="",
        red_at="claim-after",
    ),
    Fault(
        "09_audit_your_own",
        "everybody is trusted",
        find='"10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"',
        replace='"*"',
        red_at="claim-after",
    ),
    Fault(
        "09_audit_your_own",
        "a folder that is not there is audited",
        find='before = typed(lab, "dockerlab audit project',
        replace='before = typed(lab, "dockerlab audit projects',
        red_at="audit-before",
        error="LabError",
    ),
    Fault(
        "09_audit_your_own",
        "the application writes to its own folder",
        find='print("the pool is open", flush=True)',
        replace='open("pool.txt", "w").close()',
        red_at="claim-suggest",
    ),
    Fault(
        "09_audit_your_own",
        "Python is not isolated",
        find="python -I -m",
        replace="python -m",
        red_at="claim-isolated",
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
