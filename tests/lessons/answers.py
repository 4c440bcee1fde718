"""Wrong answers to the exercises, such as a reader would give, and what the check has to tell each of them.

`test_exercises.py` tries them, after the exercise as it is given and before the lesson's own solution. A new exercise
arrives with at least three; each gets a feedback of its own, about what was observed in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Edit = tuple[str, str]
"""A text that occurs once in the given file, and what stands in its place."""


@dataclass(frozen=True)
class Wrong:
    """One wrong answer.

    Attributes:
        name: what was tried, in a few words.
        files: what differs from the given files, by the path in the workspace: ``your_turn/Dockerfile``. The whole
            text of a file, some edits of the given one, or None where it is removed.
        feedback: a pattern that is found in what the check tells, and that the feedback of no other answer has.
    """

    name: str
    files: Mapping[str, str | list[Edit] | None]
    feedback: str

    @property
    def folder(self) -> str:
        """The exercise that it belongs to, by its folder: ``your_turn``."""
        return next(iter(self.files)).split("/")[0]

    def __str__(self) -> str:
        return self.name


COMPOSE_HEALTH = """\
    healthcheck:
      test: ["CMD", "python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1/', timeout=2)"]
      interval: 1s
      retries: 30
"""
"""A health check of lesson 05, as the reader finds it there."""


def _table_03(*rows: str) -> str:
    """The table of lesson 03's second exercise, each row filled in with an exit code and whether it was shut down."""
    forms = ["sh -c, as a list", "env", "bash -c, two commands", "start.sh, --init", "start-exec.sh, --init"]
    lines = ["| | how it is started | exit code | shutdown code ran |", "|---|---|---|---|"]
    for number, form in enumerate(forms):
        exit_code, ran = (rows[number] if number < len(rows) else "? ?").split()
        lines.append(f"| {'abcde'[number]} | {form} | {exit_code} | {ran} |")
    return "\n".join(lines) + "\n"


def _lines_04(*order: str) -> str:
    """The Dockerfile of lesson 04's second exercise, its middle lines in this order, each by a word of it."""
    lines = [
        "WORKDIR /code",
        "COPY ./requirements.txt ./",
        "RUN pip install --no-cache-dir --upgrade -r requirements.txt",
        "COPY ./prepare.py ./rates.csv ./",
        "RUN python prepare.py",
        "COPY ./app ./app",
        "ARG RELEASE=unknown",
        "ENV RELEASE=${RELEASE}",
    ]
    words = ["WORKDIR", "requirements", "pip", "rates", "python", "app", "ARG", "ENV"]
    middle = [lines[words.index(word)] for word in order]
    command = 'CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "80"]'
    return "\n".join(["ARG BASE_IMAGE=python:3.13.9-slim", "FROM ${BASE_IMAGE}", *middle, command]) + "\n"


START_FIRST = ("      update_config:\n", "      update_config:\n        order: start-first\n")
ASKS_THE_APPLICATION = (
    '"true"',
    """"python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1/', timeout=2)\"""",
)
EXEC_FORM = ("CMD fastapi run app/main.py --port 80", 'CMD ["fastapi", "run", "app/main.py", "--port", "80"]')
"""Edits that lesson 07's exercise needs."""

LAST_STAGE = """\
RUN python app/fetch.py

FROM ${BASE_IMAGE}

WORKDIR /code

COPY --from=build /usr/local /usr/local

COPY --from=build /code/prices.json /code/prices.json

COPY ./app /code/app

USER 10001:10001

HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1/', timeout=2)"]
"""


def in_two_stages(last: str) -> list[Edit]:
    """Edits of lesson 08's first exercise: all that is given in a first stage, and this for the rest."""
    return [
        ("FROM ${BASE_IMAGE}\n", "FROM ${BASE_IMAGE} AS build\n"),
        ("RUN python app/fetch.py && rm /code/token.txt\n\nHEALTHCHECK CMD exit 0\n", last),
    ]


TOP = "ARG BASE_IMAGE=python:3.13.9-slim"
FIRST_LINES = [
    "FROM ${BASE_IMAGE} AS build",
    "RUN pip install --no-cache-dir uv==0.13.9",
    "ENV VIRTUAL_ENV=/opt/venv",
    "WORKDIR /code",
    "COPY ./requirements.txt /code/requirements.txt",
    "RUN uv venv /opt/venv && uv pip install -r /code/requirements.txt",
]
LAST_FROM = "FROM ${BASE_IMAGE}"
SETTINGS = ["ENV PATH=/opt/venv/bin:${PATH}", "WORKDIR /code"]
PACKAGES = "COPY --from=build /opt/venv /opt/venv"
CODE = "COPY ./app /code/app"
COMPILE = "RUN python -m compileall -q /code/app"
USER = "USER 10001:10001"
START = 'CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "80"]'
REVISION = "ARG REVISION=unknown"
LABEL = 'LABEL org.opencontainers.image.revision="${REVISION}"'
"""The lines of lesson 08's second exercise."""


def in_this_order(*given: str) -> dict[str, str]:
    """The file of lesson 08's second exercise."""
    return {"your_turn_2/Dockerfile": "".join(f"{line}\n" for line in given)}


WRONG: dict[str, list[Wrong]] = {
    "01_project_structure": [
        Wrong(
            "the files are deleted in a later step",
            {
                "your_turn/Dockerfile": [
                    ("COPY . /code\n", "COPY . /code\nRUN rm -r /code/keys /code/data\n"),
                ]
            },
            "no container shows the files.*the layer of `COPY . /code",
        ),
        Wrong(
            "patterns that name the files without their folders",
            {"your_turn/.dockerignore": "server.key\ncustomers.csv\n"},
            "keeps nothing from the builder",
        ),
        Wrong("the key alone", {"your_turn/.dockerignore": "keys\n"}, "Kept from the builder: keys/server.key"),
        Wrong("the list that Git reads", {"your_turn/.gitignore": "keys\ndata\n"}, "was sent all"),
        Wrong(
            "everything is kept out but the application",
            {"your_turn/.dockerignore": "*\n!main.py\n"},
            "requirements.txt",
        ),
    ],
    "02_build_and_run": [
        Wrong(
            "the port alone",
            {"your_turn/Dockerfile": [('"8000"', '"80"')]},
            r"listens on 127\.0\.0\.1:80\..*first half",
        ),
        Wrong(
            "the address alone",
            {"your_turn/Dockerfile": [('"--port"', '"--host", "0.0.0.0", "--port"')]},
            r"listens on 0\.0\.0\.0:8000\..*second half",
        ),
        Wrong(
            "EXPOSE names the port that the application has",
            {"your_turn/Dockerfile": [("EXPOSE 80\n", "EXPOSE 8000\n")]},
            r"listens on 127\.0\.0\.1:8000\..*both halves",
        ),
        Wrong(
            "address and port as one",
            {"your_turn/Dockerfile": [('"--port", "8000"', '"--host", "0.0.0.0:80"')]},
            "has ended, with exit code [1-9]",
        ),
        Wrong(
            "the right arguments, in the background",
            {
                "your_turn/Dockerfile": [
                    ('["uvicorn", "app.main:app", "--port", "8000"]', "uvicorn app.main:app --host 0.0.0.0 --port 80 &")
                ]
            },
            "has ended, with exit code 0",
        ),
    ],
    "05_compose": [
        Wrong(
            "one command after the other, and nobody asks whether it answers",
            {
                "your_turn/compose.yaml": [
                    ("migrate.py; fastapi", "migrate.py && exec fastapi"),
                    ("    init: true\n", ""),
                ]
            },
            "the first request was (cut|refused)",
        ),
        Wrong(
            "a health check, and init stays",
            {
                "your_turn/compose.yaml": [
                    ("migrate.py; fastapi", "migrate.py && fastapi"),
                    ("    init: true\n", f"    init: true\n{COMPOSE_HEALTH}"),
                ]
            },
            "docker-init .*exit code 143",
        ),
        Wrong(
            "the semicolon stays",
            {
                "your_turn/compose.yaml": [
                    ("migrate.py; fastapi", "migrate.py; exec fastapi"),
                    ("    init: true\n", COMPOSE_HEALTH),
                ]
            },
            "`up --wait` ended well",
        ),
        Wrong(
            "a migration that web need not wait for",
            {
                "your_turn/compose.yaml": [
                    ("services:\n", 'services:\n  migrate:\n    build: .\n    command: ["python", "migrate.py"]\n\n'),
                    ('sh -c "python migrate.py; fastapi run main.py --port 80"', "fastapi run main.py --port 80"),
                    ("    init: true\n", f"    depends_on: [migrate]\n{COMPOSE_HEALTH}"),
                ]
            },
            "took that for a failure",
        ),
    ],
    "03_exec_or_shell": [
        Wrong(
            "exec, and a pipe behind it",
            {
                "your_turn/start.sh": [
                    ("fastapi run main.py --port 80\n", "exec fastapi run main.py --port 80 2>&1 | tee server.log\n")
                ]
            },
            "children are `.*`, `tee server.log`.*for how many programs",
        ),
        Wrong(
            "exec, one step too early",
            {"your_turn/Dockerfile": [('CMD ["sh", "start.sh"]', "CMD exec sh start.sh")]},
            "children are `[^,]*`\\. .*exit code 137.*the line that PID 1 is still executing",
        ),
        Wrong(
            "a trap, and one wait",
            {
                "your_turn/start.sh": [
                    (
                        "fastapi run main.py --port 80\n",
                        "fastapi run main.py --port 80 &\ntrap 'kill -TERM $!' TERM\nwait $!\n",
                    )
                ]
            },
            "received the signal and ended at once, exit code 143",
        ),
        Wrong(
            "the script is left out",
            {
                "your_turn/Dockerfile": [
                    ('CMD ["sh", "start.sh"]', 'CMD ["fastapi", "run", "main.py", "--port", "80"]'),
                ]
            },
            "ended with exit code .* before it answered.*config.json",
        ),
        Wrong("half of the table", {"your_turn_2/table.md": _table_03("137 no", "0 yes", "? ?")}, r"row c.*has '\?'"),
        Wrong(
            "what became of it, in words",
            {"your_turn_2/table.md": _table_03("killed no", "0 yes", "137 no", "143 no", "143 yes")},
            "row a.*has 'killed'",
        ),
        Wrong(
            "a list is the exec form",
            {"your_turn_2/table.md": _table_03("0 yes", "0 yes", "137 no", "143 no", "143 yes")},
            "differ.*: row a, exit code; row a, shutdown code ran",
        ),
        Wrong(
            "bash steps aside",
            {"your_turn_2/table.md": _table_03("137 no", "0 yes", "0 yes", "143 no", "143 yes")},
            "differ.*: row c, exit code; row c, shutdown code ran",
        ),
        Wrong(
            "an init passes it on to everybody",
            {"your_turn_2/table.md": _table_03("137 no", "0 yes", "137 no", "143 yes", "143 yes")},
            r"differ.*: row d, shutdown code ran\.",
        ),
        Wrong(
            "what is shut down ends with 0",
            {"your_turn_2/table.md": _table_03("137 no", "0 yes", "137 no", "143 no", "0 yes")},
            r"differ.*: row e, exit code\.",
        ),
    ],
    "04_layer_cache": [
        Wrong(
            "the requirements first, and no more",
            {
                "your_turn/Dockerfile": [
                    ("COPY . /code\n", "COPY ./requirements.txt /code/requirements.txt\n"),
                    ("\nCMD", "\nCOPY ./app /code/app\n\nCMD"),
                ]
            },
            "The first of them is `RUN pip`.*beside its text",
        ),
        Wrong(
            "the release last, and no more",
            {
                "your_turn/Dockerfile": [
                    ("ARG RELEASE=unknown\nENV RELEASE=${RELEASE}\n\n", ""),
                    ("\nCMD", "\nARG RELEASE=unknown\nENV RELEASE=${RELEASE}\n\nCMD"),
                ]
            },
            "The first of them is `COPY .`.*which files",
        ),
        Wrong(
            "the argument does not reach the application",
            {
                "your_turn/Dockerfile": [
                    ("ARG RELEASE=unknown\nENV RELEASE=${RELEASE}\n\n", ""),
                    ("COPY . /code\n", "COPY ./requirements.txt /code/requirements.txt\n"),
                    ("\nCMD", "\nCOPY ./app /code/app\n\nARG RELEASE=unknown\n\nCMD"),
                ]
            },
            "/release answers Internal Server Error",
        ),
        Wrong(
            "a release that no build changes",
            {
                "your_turn/Dockerfile": [
                    ("ARG RELEASE=unknown\nENV RELEASE=${RELEASE}\n\n", ""),
                    ("COPY . /code\n", "COPY ./requirements.txt /code/requirements.txt\n"),
                    ("\nCMD", "\nCOPY ./app /code/app\n\nENV RELEASE=2026-11-24.1\n\nCMD"),
                ]
            },
            "/release answers {.release.:.2026-11-24.1.}",
        ),
        Wrong(
            "the code first",
            {
                "your_turn_2/Dockerfile": _lines_04(
                    "WORKDIR", "app", "requirements", "pip", "rates", "python", "ARG", "ENV"
                )
            },
            "after a change of code, these steps ran again.*the first of them, `COPY ./app`",
        ),
        Wrong(
            "the release where it was, and the rest in order",
            {
                "your_turn_2/Dockerfile": _lines_04(
                    "ARG", "ENV", "WORKDIR", "requirements", "pip", "rates", "python", "app"
                )
            },
            "after a new release, these steps ran again.*the first of them, `RUN pip`",
        ),
        Wrong(
            "all files, then all work",
            {
                "your_turn_2/Dockerfile": _lines_04(
                    "WORKDIR", "requirements", "rates", "pip", "python", "app", "ARG", "ENV"
                )
            },
            "after new rates, these steps ran again.*the first of them, `COPY ./prepare.py`",
        ),
        Wrong(
            "the installation before its list",
            {
                "your_turn_2/Dockerfile": _lines_04(
                    "WORKDIR", "pip", "requirements", "rates", "python", "app", "ARG", "ENV"
                )
            },
            "pip.*requirements.txt",
        ),
        Wrong(
            "the value before its argument",
            {
                "your_turn_2/Dockerfile": _lines_04(
                    "WORKDIR", "requirements", "pip", "rates", "python", "app", "ENV", "ARG"
                )
            },
            r"the build was given RELEASE=\w+, and /release answers",
        ),
        Wrong(
            "one line for all files",
            {
                "your_turn_2/Dockerfile": [
                    ("COPY ./app ./app\n", ""),
                    ("COPY ./prepare.py ./rates.csv ./\n", ""),
                    ("COPY ./requirements.txt ./\nWORKDIR /code\n", "WORKDIR /code\nCOPY . .\n"),
                ]
            },
            r"the lines are not those that were given.*new: `COPY \. \.`",
        ),
    ],
    "06_tls_proxy": [
        Wrong(
            "the application believes everybody, and the site stays",
            {"your_turn/Dockerfile": [('"--proxy-headers"', '"--forwarded-allow-ips", "*"')]},
            "redirected to https://app/items/",
        ),
        Wrong(
            "the site alone",
            {
                "your_turn/site.conf": [
                    ("X-Forwarded-Host  $host", "Host              $http_host"),
                    ("$proxy_add_x_forwarded_for", "$remote_addr"),
                ]
            },
            "redirected to http://shop.example:8443/items/",
        ),
        Wrong(
            "the host without its port",
            {
                "your_turn/Dockerfile": [('"--proxy-headers"', '"--forwarded-allow-ips", "*"')],
                "your_turn/site.conf": [
                    ("X-Forwarded-Host  $host", "Host              $host"),
                    ("$proxy_add_x_forwarded_for", "$remote_addr"),
                ],
            },
            "redirected to https://shop.example/items/",
        ),
        Wrong(
            "the list of addresses still grows",
            {
                "your_turn/Dockerfile": [('"--proxy-headers"', '"--forwarded-allow-ips", "*"')],
                "your_turn/site.conf": [("X-Forwarded-Host  $host", "Host              $http_host")],
            },
            "not seen as itself.*X-Forwarded-For: forged, the client",
        ),
        Wrong(
            "a table that is not yet filled",
            {"your_turn_2/predictions.md": [("two-lists      | ?      | ?", "two-lists      | http   | ?")]},
            r"`two-lists`, column client, says '\?'",
        ),
        Wrong(
            "a star that is everybody, in a list too",
            {
                "your_turn_2/predictions.md": [
                    ("two-lists      | ?      | ?      | ?        ", "two-lists      | http   | proxy  | as asked "),
                    ("star-in-a-list | ?      | ?      | ?        ", "star-in-a-list | https  | client | as asked "),
                    ("host-alone     | ?      | ?      | ?        ", "host-alone     | http   | proxy  | no port  "),
                    ("no-host        | ?      | ?      | ?        ", "no-host        | https  | client | container"),
                    ("no-client      | ?      | ?      | ?        ", "no-client      | https  | proxy  | as asked "),
                ]
            },
            "`star-in-a-list`, column scheme, is not .* 13 of 15",
        ),
        Wrong(
            "a variable that stands above the option",
            {
                "your_turn_2/predictions.md": [
                    ("two-lists      | ?      | ?      | ?        ", "two-lists      | https  | client | as asked "),
                    ("star-in-a-list | ?      | ?      | ?        ", "star-in-a-list | http   | proxy  | as asked "),
                    ("host-alone     | ?      | ?      | ?        ", "host-alone     | http   | client | no port  "),
                    ("no-host        | ?      | ?      | ?        ", "no-host        | https  | client | no port  "),
                    ("no-client      | ?      | ?      | ?        ", "no-client      | https  | proxy  | as asked "),
                ]
            },
            "`two-lists`, column scheme, is not .* 11 of 15",
        ),
    ],
    "07_replicas": [
        Wrong(
            "the new one first, whatever the health check says",
            {
                "your_turn/stack.yaml": [START_FIRST],
                "your_turn/Dockerfile": [EXEC_FORM],
            },
            "where nothing answers, the health check succeeds",
        ),
        Wrong(
            "a health check with curl",
            {
                "your_turn/stack.yaml": [START_FIRST, ('"true"', '"curl", "--fail", "http://127.0.0.1/"')],
                "your_turn/Dockerfile": [EXEC_FORM],
            },
            "where your application answers, the health check ends with exit code 12[67]",
        ),
        Wrong(
            "the shell form stays",
            {"your_turn/stack.yaml": [START_FIRST, ASKS_THE_APPLICATION]},
            "process 1 is `/bin/sh -c fastapi.* ended with exit code 137",
        ),
        Wrong(
            "the order stays",
            {"your_turn/stack.yaml": [ASKS_THE_APPLICATION], "your_turn/Dockerfile": [EXEC_FORM]},
            r"In the update, \d+ of \d+ requests were lost",
        ),
    ],
    "08_production_image": [
        Wrong(
            "a user, and a health check with curl",
            {
                "your_turn/Dockerfile": [
                    ("HEALTHCHECK CMD exit 0\n", "USER 10001:10001\n\nHEALTHCHECK CMD curl --fail http://127.0.0.1/\n")
                ]
            },
            "the health check ends with exit code 127",
        ),
        Wrong(
            "all of it in one stage",
            {
                "your_turn/Dockerfile": [
                    ("HEALTHCHECK CMD exit 0\n", LAST_STAGE[LAST_STAGE.index("USER") :]),
                ]
            },
            "the token can be read .*, deleted in a later layer",
        ),
        Wrong(
            "two stages, and nobody says who runs the last",
            {"your_turn/Dockerfile": in_two_stages(LAST_STAGE.replace("USER 10001:10001\n\n", ""))},
            "runs as root",
        ),
        Wrong(
            "two stages, and the whole folder is taken out of the first",
            {"your_turn/Dockerfile": in_two_stages(LAST_STAGE.replace("/code/prices.json", "/code"))},
            r"the token can be read [^,]*\.\n",
        ),
        Wrong(
            "two stages, and uv is taken out of the first, too",
            {"your_turn/Dockerfile": in_two_stages(LAST_STAGE)},
            "more than half .*COPY.* /usr/local",
        ),
        Wrong(
            "a line is left out",
            in_this_order(TOP, *FIRST_LINES, LAST_FROM, PACKAGES, CODE, COMPILE, USER, START, REVISION, LABEL),
            r"missing: ENV PATH=.*; missing: WORKDIR /code\.",
        ),
        Wrong(
            "the user before the code is compiled",
            in_this_order(
                *(TOP, *FIRST_LINES, LAST_FROM, *SETTINGS),
                *(PACKAGES, CODE, USER, COMPILE, START, REVISION, LABEL),
            ),
            "compileall.*exit code 1",
        ),
        Wrong(
            "the user in the first stage",
            in_this_order(
                *(TOP, *FIRST_LINES, USER, LAST_FROM, *SETTINGS),
                *(PACKAGES, CODE, COMPILE, START, REVISION, LABEL),
            ),
            "can be built, and its application runs as root",
        ),
        Wrong(
            "the revision beside the base image",
            in_this_order(
                *(TOP, REVISION, *FIRST_LINES, LAST_FROM, *SETTINGS),
                *(PACKAGES, CODE, COMPILE, USER, START, LABEL),
            ),
            "its label tells ''",
        ),
        Wrong(
            "the code before the packages",
            in_this_order(
                *(TOP, *FIRST_LINES, LAST_FROM, *SETTINGS),
                *(CODE, PACKAGES, COMPILE, USER, START, REVISION, LABEL),
            ),
            "after a change of the code, .*COPY --from=build",
        ),
        Wrong(
            "the revision at the top of the last stage",
            in_this_order(
                *(TOP, *FIRST_LINES, LAST_FROM, REVISION, LABEL, *SETTINGS),
                *(PACKAGES, CODE, COMPILE, USER, START),
            ),
            "with another commit, .*compileall",
        ),
    ],
    "09_audit_your_own": [
        Wrong(
            "the script alone",
            {"your_turn/start.sh": [("uvicorn main:app", "exec uvicorn main:app")]},
            "code-change-keeps-dependencies-cached fails: .* runs again",
        ),
        Wrong(
            "the order of the lines alone",
            {
                "your_turn/Dockerfile": [
                    ("COPY requirements.txt main.py start.sh /code/", "COPY requirements.txt /code/"),
                    ("EXPOSE 8000", "COPY main.py start.sh /code/\n\nEXPOSE 8000"),
                ]
            },
            "stops-on-sigterm fails: .* was killed",
        ),
        Wrong(
            "a script that ends at the signal, and its child with it",
            {
                "your_turn/start.sh": [
                    ("uvicorn main:app", "trap 'exit 0' TERM\nuvicorn main:app"),
                    ("--port 8000", "--port 8000 &\nwait"),
                ]
            },
            "lifespan-shutdown fails: .* it ended by itself",
        ),
    ],
}
"""By the notebook's name without its suffix, in the order in which they are tried."""
