"""A fix is suggested where it is certain, and nowhere else; all that it does not concern stays as it is written."""

# ruff: noqa: E501 (tables of Dockerfiles: each on its line)

import json
import re
import shutil
import subprocess
from types import SimpleNamespace

import pytest
from dockerlab.audit.fix_order import dependencies_first
from dockerlab.audit.fix_start import PRIVATE_NETWORKS, USER, exec_form, forwarded_allow_ips, user
from dockerlab.audit.fixes import candidates, diff, proven
from dockerlab.audit.project import Project
from dockerlab.audit.shell import scan
from dockerlab.build.dockerfile import parse
from dockerlab.errors import LabError
from dockerlab.records import Audit, Finding

FILES = {
    "requirements.txt": "fastapi[standard]==0.1\n# a comment ./x\n",
    "main.py": "",
    "app/main.py": "",
    "app/requirements.txt": "fastapi\n",
    "requirements/base.txt": "fastapi\n",
    "requirements/prod.txt": "-r base.txt\n-c ../constraints.txt\ngunicorn\n",
    "constraints.txt": "fastapi<1\n",
    "editable.txt": "-e .\n",
    "requirements-local.txt": "./vendor/thing\n",
    "requirements-wheel.txt": "thing.whl\n",
    "requirements-file.txt": "thing @ file:///code/thing\n",
    "requirements-index.txt": "--index-url https://packages.example/simple\nthing @ https://packages.example/t.whl\n",
    "requirements-missing.txt": "-r nowhere.txt\n",
}


def after(fix, text, **options):
    """The Dockerfile behind its first line, with the fix; None where there is none."""
    first = "FROM a\r\n" if "\r\n" in text else "FROM a\n"
    fixed = fix(first + text, **options)
    if fixed is None:
        return None
    assert fixed[1].endswith(".")
    assert fixed[0].startswith(first)
    return fixed[0].removeprefix(first)


# --- the shell's language --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plain", "program"),
    [
        ("uvicorn main:app --port 80", True, "uvicorn"),
        ("/opt/venv/bin/uvicorn 'main:app' --name \"a b\"", True, "/opt/venv/bin/uvicorn"),
        ("uvicorn main:app --forwarded-allow-ips='*'", True, "uvicorn"),
        ("uvicorn main:app --forwarded-allow-ips=*", False, "uvicorn"),
        ("uvicorn main:app --port $PORT", False, "uvicorn"),
        ('uvicorn main:app --port "${PORT:-80}"', False, "uvicorn"),
        ("uvicorn main:app --port '$PORT'", True, "uvicorn"),
        ("uvicorn main:app --workers $(nproc)", False, "uvicorn"),
        ("uvicorn main:app > /tmp/log 2>&1", False, "uvicorn"),
        ('a && b "&&" c && d e', False, "d"),
        ("A=b uvicorn main:app", False, ""),
        ("$SERVER main:app", False, ""),
        ("exec uvicorn main:app", True, ""),
        ("cd /app", True, ""),
        ("ls ~", False, "ls"),
        ("ls a#b", True, "ls"),
        ("ls a\\ b", False, "ls"),
    ],
)
def test_simple_commands(text, plain, program):
    script = scan(text)
    assert (script.is_plain, script.program) == (plain, program)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a; b", "a | b", "a || b", "a &", "(a)", "a && ", "&& a", "a 'b", 'a "b', "a # b", "a\nb", "a \\",
        "a <<EOF", "a <(b)", "if a", "while a", "for x in y", "{ a && b", "! a", "a && case b", "a $(b $(c))", "a `b",
        "a $(b 'c')", "a 2>&1 | b", "a &> b", "case x in",
    ],
)  # fmt: skip
def test_more_than_simple_commands(text):
    assert scan(text) is None


# --- exec form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CMD uvicorn main:app --host 0.0.0.0\n", 'CMD ["uvicorn", "main:app", "--host", "0.0.0.0"]\n'),
        ("cmd   uvicorn main:app", 'cmd   ["uvicorn", "main:app"]'),
        ("CMD uvicorn main:app\r\nEXPOSE 80\r\n", 'CMD ["uvicorn", "main:app"]\r\nEXPOSE 80\r\n'),
        ("CMD uvicorn \\\n  main:app \\\n  --port 80\n\n# end\n", 'CMD ["uvicorn", "main:app", "--port", "80"]\n\n# end\n'),
        ("CMD uvicorn main:app --name 'a b' --x=\"ä\"\n", 'CMD ["uvicorn", "main:app", "--name", "a b", "--x=ä"]\n'),
        ("CMD uvicorn main:app --root-path 'a\"b'\n", 'CMD ["uvicorn", "main:app", "--root-path", "a\\"b"]\n'),
        ("ENTRYPOINT uvicorn main:app\n", 'ENTRYPOINT ["uvicorn", "main:app"]\n'),
        ("CMD a\nCMD uvicorn main:app\n", 'CMD a\nCMD ["uvicorn", "main:app"]\n'),
        ('ENTRYPOINT ["tini", "--"]\nCMD uvicorn a\n', 'ENTRYPOINT ["tini", "--"]\nCMD ["uvicorn", "a"]\n'),
        ('SHELL ["/bin/bash", "-c"]\nCMD uvicorn a\n', 'SHELL ["/bin/bash", "-c"]\nCMD ["uvicorn", "a"]\n'),
        # a shell that is needed hands its process over
        ("CMD uvicorn main:app --port $PORT\n", "CMD exec uvicorn main:app --port $PORT\n"),
        ("CMD uvicorn main:app --port ${PORT:-80} \\\n  --host ::\n", "CMD exec uvicorn main:app --port ${PORT:-80} \\\n  --host ::\n"),
        ("CMD alembic upgrade head && uvicorn main:app\n", "CMD alembic upgrade head && exec uvicorn main:app\n"),
        ("CMD alembic upgrade head \\\n && uvicorn a\n", "CMD alembic upgrade head \\\n && exec uvicorn a\n"),
        ("CMD cd app&&uvicorn main:app\n", "CMD cd app&&exec uvicorn main:app\n"),
        ("CMD uvicorn a > /dev/null 2>&1\n", "CMD exec uvicorn a > /dev/null 2>&1\n"),
        ("CMD uvicorn \\\n# the app\n  main:app\n", "CMD exec uvicorn \\\n# the app\n  main:app\n"),
        ("RUN x\nCMD gunicorn a --workers $(nproc)\n", "RUN x\nCMD exec gunicorn a --workers $(nproc)\n"),
        # a list that starts a shell
        ('CMD ["sh", "-c", "uvicorn main:app"]\n', 'CMD ["uvicorn", "main:app"]\n'),
        ('CMD ["/bin/bash", "-ec", "uvicorn a $X"]\n', 'CMD ["/bin/bash", "-ec", "exec uvicorn a $X"]\n'),
        ('CMD ["tini", "--", "sh", "-c", "a && uvicorn b"]\n', 'CMD ["tini", "--", "sh", "-c", "a && exec uvicorn b"]\n'),
        ('ENTRYPOINT ["sh", "-c", "uvicorn a"]\n', 'ENTRYPOINT ["uvicorn", "a"]\n'),
    ],
)  # fmt: skip
def test_exec_form(text, expected):
    assert after(exec_form, text) == expected
    assert after(exec_form, expected) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "EXPOSE 80\n",
        'CMD ["uvicorn", "main:app"]\n',
        "CMD exec uvicorn main:app\n",
        'CMD ["sh", "-c", "exec uvicorn main:app --port $PORT"]\n',
        'CMD ["sh", "-lc", "uvicorn main:app"]\n',  # a login shell reads files
        'CMD ["sh", "-c", "uvicorn $0", "x"]\n',
        'CMD ["sh", "start.sh"]\n',
        'CMD ["bash"]\n',
        "CMD ./start.sh\n",
        "CMD sh start.sh\n",
        "CMD bash -c 'uvicorn a'\n",
        "CMD uvicorn a | tee log\n",
        "CMD uvicorn a & wait\n",
        "CMD nginx; uvicorn a\n",
        "CMD if x; then uvicorn a; fi\n",
        "CMD A=b uvicorn a\n",
        "CMD $SERVER\n",
        "CMD\n",
        "CMD []\n",
        "CMD ['uvicorn', 'a']\n",  # no JSON
        'CMD ["uvicorn", 80]\n',
        "ENTRYPOINT uvicorn a\nCMD --port 80\n",  # which the entry point ignores now
        'ENTRYPOINT ["/entrypoint.sh"]\nCMD uvicorn a\n',  # of which nothing is known
        'SHELL ["powershell", "-Command"]\nCMD uvicorn a\n',
        'SHELL ["/bin/bash", "-lc"]\nCMD uvicorn a\n',
        "HEALTHCHECK CMD curl x\n",
    ],
)
def test_no_exec_form_where_it_is_not_certain(text):
    assert after(exec_form, text) is None


def test_exec_form_of_the_stage_that_is_started():
    text = "FROM a AS base\nCMD uvicorn base\nFROM base AS dev\nCMD uvicorn dev\nFROM base\n"
    assert exec_form(text)[0] == text.replace("uvicorn base", '["uvicorn", "base"]')
    assert exec_form(text, target="dev")[0] == text.replace("uvicorn dev", '["uvicorn", "dev"]')
    assert exec_form(text, target="none") is None


def test_an_entry_point_forgets_the_command_of_the_stage_below():
    text = "FROM a AS base\nCMD uvicorn base\nFROM base\nENTRYPOINT uvicorn a\n"
    assert exec_form(text)[0] == text.replace("ENTRYPOINT uvicorn a", 'ENTRYPOINT ["uvicorn", "a"]')


def test_another_escape_character():
    assert exec_form("# escape=`\nFROM a\nCMD uvicorn a\n") is None


# --- forwarded-allow-ips ---------------------------------------------------------------------------------------------

ADDED = f'"--forwarded-allow-ips", "{PRIVATE_NETWORKS}"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('CMD ["uvicorn", "a:app"]\n', f'CMD ["uvicorn", "a:app", {ADDED}]\n'),
        ('CMD ["fastapi", "run", "main.py"]', f'CMD ["fastapi", "run", "main.py", {ADDED}]'),
        ('CMD ["/opt/venv/bin/gunicorn", "a:app"]\n', f'CMD ["/opt/venv/bin/gunicorn", "a:app", {ADDED}]\n'),
        ('CMD ["uvicorn", \\\n  # where\n  "a:app"]\nEXPOSE 1\n', f'CMD ["uvicorn", \\\n  # where\n  "a:app", {ADDED}]\nEXPOSE 1\n'),
        ('CMD ["uv", "run", "uvicorn", "a"]\n', f'CMD ["uv", "run", "uvicorn", "a", {ADDED}]\n'),
        ('CMD ["python3", "-m", "uvicorn", "a"]\n', f'CMD ["python3", "-m", "uvicorn", "a", {ADDED}]\n'),
        ('CMD ["tini", "-g", "--", "uvicorn", "a"]\n', f'CMD ["tini", "-g", "--", "uvicorn", "a", {ADDED}]\n'),
        ('ENTRYPOINT ["tini", "--"]\nCMD ["uvicorn", "a"]\n', f'ENTRYPOINT ["tini", "--"]\nCMD ["uvicorn", "a", {ADDED}]\n'),
        ('ENTRYPOINT ["uvicorn", "a"]\nCMD ["--port", "80"]\n', f'ENTRYPOINT ["uvicorn", "a", {ADDED}]\nCMD ["--port", "80"]\n'),
        ('CMD ["uv", "run", "--no-sync", "uvicorn", "a"]\n', f'CMD ["uv", "run", "--no-sync", "uvicorn", "a", {ADDED}]\n'),
        ('CMD ["python", "-I", "-m", "uvicorn", "a"]\n', f'CMD ["python", "-I", "-m", "uvicorn", "a", {ADDED}]\n'),
        ('CMD ["uvicorn", "a", "--proxy-headers"]\n', f'CMD ["uvicorn", "a", "--proxy-headers", {ADDED}]\n'),
    ],
)  # fmt: skip
def test_forwarded_allow_ips(text, expected):
    assert after(forwarded_allow_ips, text) == expected
    (start,) = [each for each in parse(expected).instructions if ADDED in each.arguments]
    assert json.loads(start.arguments)[-1] == PRIVATE_NETWORKS
    assert after(forwarded_allow_ips, expected) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "CMD exec uvicorn a --port $PORT\n",
            f"CMD exec uvicorn a --port $PORT --forwarded-allow-ips {PRIVATE_NETWORKS}\n",
        ),
        ("CMD uvicorn a", f"CMD uvicorn a --forwarded-allow-ips {PRIVATE_NETWORKS}"),
        (
            "CMD a && exec uvicorn a \\\n  --port 80\nEXPOSE 80\n",
            f"CMD a && exec uvicorn a \\\n  --port 80 --forwarded-allow-ips {PRIVATE_NETWORKS}\nEXPOSE 80\n",
        ),
    ],
)
def test_forwarded_allow_ips_of_a_shell(text, expected):
    assert after(forwarded_allow_ips, text) == expected
    assert after(forwarded_allow_ips, expected) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CMD uvicorn a | tee log\n",
        "CMD $SERVER uvicorn a\n",
        "CMD uvicorn a --forwarded-allow-ips=*\n",
        "CMD ['uvicorn', 'a']\n",
        'CMD ["fastapi", "dev"]\n',
        'CMD ["fastapi"]\n',
        'CMD ["hypercorn", "a"]\n',
        'CMD ["python", "main.py"]\n',
        'CMD ["sh", "-c", "uvicorn a"]\n',
        'CMD ["echo", "uvicorn"]\n',
        'CMD ["uvicorn", "a", "--forwarded-allow-ips", "*"]\n',
        'CMD ["uvicorn", "a", "--forwarded-allow-ips=10.0.0.1"]\n',
        'CMD ["uvicorn", "a", "--no-proxy-headers"]\n',
        'CMD ["uvicorn", "--", "a"]\n',
        'ENTRYPOINT ["uvicorn", "a"]\nCMD ["--forwarded-allow-ips", "*"]\n',
        'ENV FORWARDED_ALLOW_IPS=10.0.0.0/8\nCMD ["uvicorn", "a"]\n',
        'ENV A=1 \\\n  FORWARDED_ALLOW_IPS="*"\nCMD ["uvicorn", "a"]\n',
        'AS base\nENV FORWARDED_ALLOW_IPS=*\nFROM base\nCMD ["uvicorn", "a"]\n',
    ],
)
def test_nothing_is_added_where_somebody_decided(text):
    assert forwarded_allow_ips(f"FROM a {text}" if text.startswith("AS") else f"FROM a\n{text}") is None


def test_the_reason_is_told():
    told = forwarded_allow_ips('FROM a\nCMD ["uvicorn", "a"]\n')[1]
    assert "`*` would need a proxy that overwrites" in told


# --- user ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('RUN x\nCMD ["a"]\n', f'RUN x\nUSER {USER}\nCMD ["a"]\n'),
        ('COPY a b\n\n# start\nENTRYPOINT ["a"]\nCMD ["b"]\n', f'COPY a b\n\n# start\nUSER {USER}\nENTRYPOINT ["a"]\nCMD ["b"]\n'),
        ('CMD ["a"]\nRUN x\n', f'CMD ["a"]\nRUN x\nUSER {USER}\n'),
        ('CMD ["a"]\nRUN x', f'CMD ["a"]\nRUN x\nUSER {USER}\n'),
        ('RUN x\r\nCMD ["a"]\r\n', f'RUN x\r\nUSER {USER}\r\nCMD ["a"]\r\n'),
        ('RUN <<EOF\nCMD x\nEOF\nEXPOSE 80\nCMD ["a"]', f'RUN <<EOF\nCMD x\nEOF\nEXPOSE 80\nUSER {USER}\nCMD ["a"]'),
        ('RUN pip install --no-cache-dir x\nCMD a\n', f'RUN pip install --no-cache-dir x\nUSER {USER}\nCMD a\n'),
    ],
)  # fmt: skip
def test_user(text, expected):
    assert after(user, text) == expected
    assert after(user, expected) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "RUN x\n",  # nothing is started by it
        'USER app\nCMD ["a"]\n',
        'USER root\nCMD ["a"]\n',
        'VOLUME /data\nCMD ["a"]\n',
        'RUN pip install --user x\nCMD ["a"]\n',
        'ENV PATH=/root/.local/bin:$PATH\nCMD ["a"]\n',
        'COPY a /root/\nCMD ["a"]\n',
        'RUN uv python install 3.13\nCMD ["a"]\n',
        'CMD ["gosu", "app", "a"]\n',
        'ENTRYPOINT ["/entrypoint.sh"]\nCMD ["a"]\n',
        'CMD ["uv", "run", "a"]\n',
        'CMD ["supervisord"]\n',
    ],
)
def test_no_user_where_it_is_not_certain(text):
    assert after(user, text) is None


def test_the_user_is_a_number_other_than_root():
    uid, gid = USER.split(":")
    assert int(uid) > 1000
    assert int(gid) > 1000


def test_a_user_of_the_stage_below_counts():
    assert user("FROM a AS b\nUSER 1000\nFROM b\nCMD a\n") is None
    assert user("FROM a AS b\nCMD a\nFROM b\nUSER 1000\n") is None
    assert user("FROM a AS b\nUSER 1000\nFROM c\nCOPY --from=b / /\nCMD a\n") is not None


# --- order -----------------------------------------------------------------------------------------------------------


def ordered(text, files=FILES):
    """With the dependencies first; the code is in the first copy that is not of requirements alone."""
    code = (
        n for n, line in enumerate(text.splitlines(), start=2) if re.match(r"(COPY|ADD) (?!requirements\S* \S+$)", line)
    )
    return after(dependencies_first, text, read=files.get, line=next(code, None))


PIP = "RUN pip install -r requirements.txt\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"WORKDIR /code\nCOPY . .\n{PIP}CMD x\n", f"WORKDIR /code\nCOPY requirements.txt ./\n{PIP}COPY . .\nCMD x\n"),
        ("COPY . .\nRUN pip3 install -r ./requirements.txt", "COPY requirements.txt ./\nRUN pip3 install -r ./requirements.txt\nCOPY . ."),
        (f"COPY . /code\nWORKDIR /code\n{PIP}", f"COPY requirements.txt /code/\nWORKDIR /code\n{PIP}COPY . /code\n"),
        (
            "COPY ./ /code/\nRUN python -m pip install --requirement=/code/requirements.txt\n",
            "COPY requirements.txt /code/\nRUN python -m pip install --requirement=/code/requirements.txt\nCOPY ./ /code/\n",
        ),
        (  # comments go with what they are about, and stay where they are about something else
            f"# about all\n\n# the code\nCOPY . .\n\n# install\n{PIP}\nCMD x\n",
            f"# about all\n\nCOPY requirements.txt ./\n\n# install\n{PIP}# the code\nCOPY . .\n\nCMD x\n",
        ),
        # the file of dependencies is copied already
        (f"COPY app app\nCOPY requirements.txt .\n{PIP}", f"COPY requirements.txt .\n{PIP}COPY app app\n"),
        (f"COPY requirements.txt .\nCOPY . .\n{PIP}", f"COPY requirements.txt .\n{PIP}COPY . .\n"),
        (
            "COPY requirements*.txt /tmp/\nCOPY app app\nCOPY main.py .\nRUN pip install -r /tmp/requirements.txt\n",
            "COPY requirements*.txt /tmp/\nRUN pip install -r /tmp/requirements.txt\nCOPY app app\nCOPY main.py .\n",
        ),
        # with the code, by name; in a folder of the context, with its flags
        (f"COPY requirements.txt main.py ./\n{PIP}", f"COPY requirements.txt ./\n{PIP}COPY requirements.txt main.py ./\n"),
        (f"COPY --chown=1:1 --link app /code\n{PIP}", f"COPY --chown=1:1 --link app/requirements.txt /code/\n{PIP}COPY --chown=1:1 --link app /code\n"),
        (  # files that name others
            "COPY . .\nRUN pip install -r requirements/prod.txt\n",
            "COPY requirements/prod.txt requirements/base.txt ./requirements/\nCOPY constraints.txt ./\n"
            "RUN pip install -r requirements/prod.txt\nCOPY . .\n",
        ),
        # no file at all
        ("COPY . .\nRUN pip install 'fastapi>=0.1' uvicorn[standard]\n", "RUN pip install 'fastapi>=0.1' uvicorn[standard]\nCOPY . .\n"),
        (  # other steps between that need no code
            "COPY . .\nENV A=1\nUSER app\nRUN apt-get update && apt-get install -y gcc && rm -rf /var/lib/apt/lists/*\n"
            "RUN --mount=type=cache,target=/root/.cache pip install --upgrade pip && pip install -r requirements.txt\nEXPOSE 80\n",
            "COPY requirements.txt ./\nENV A=1\nUSER app\nRUN apt-get update && apt-get install -y gcc && rm -rf /var/lib/apt/lists/*\n"
            "RUN --mount=type=cache,target=/root/.cache pip install --upgrade pip && pip install -r requirements.txt\nCOPY . .\nEXPOSE 80\n",
        ),
        # the last installation counts up to which no step needs the code
        (f"COPY . .\nRUN pip install uvicorn\n{PIP}RUN make\n", f"COPY requirements.txt ./\nRUN pip install uvicorn\n{PIP}COPY . .\nRUN make\n"),
        (
            "COPY . .\nRUN python -m venv /venv && /venv/bin/pip install -r requirements.txt\n",
            "COPY requirements.txt ./\nRUN python -m venv /venv && /venv/bin/pip install -r requirements.txt\nCOPY . .\n",
        ),
        ("ADD . .\nRUN uv pip install --system -r requirements.txt\n", "COPY requirements.txt ./\nRUN uv pip install --system -r requirements.txt\nADD . .\n"),
        (
            "COPY . .\nRUN pip install \\\n  # quietly\n  -q \\\n  -r requirements-index.txt\n",
            "COPY requirements-index.txt ./\nRUN pip install \\\n  # quietly\n  -q \\\n  -r requirements-index.txt\nCOPY . .\n",
        ),
        ("COPY . .\r\nRUN pip install -r requirements.txt\r\n", "COPY requirements.txt ./\r\nRUN pip install -r requirements.txt\r\nCOPY . .\r\n"),
    ],
)  # fmt: skip
def test_dependencies_first(text, expected):
    assert ordered(text) == expected
    assert ordered(expected) in (None, expected)  # fixed once, it is fixed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "COPY . .\n",
        f"{PIP}COPY . .\n",
        f"COPY requirements.txt .\n{PIP}COPY . .\n",
        # the code is what is installed
        "COPY . .\nRUN pip install .\n",
        "COPY . .\nRUN pip install -e .\n",
        "COPY . .\nRUN pip install ./vendor/thing -r requirements.txt\n",
        "COPY . .\nRUN pip install -r editable.txt\n",
        "COPY . .\nRUN pip install -r requirements-local.txt\n",
        "COPY . .\nRUN pip install -r requirements-wheel.txt\n",
        "COPY . .\nRUN pip install -r requirements-file.txt\n",
        "COPY . .\nRUN pip install --find-links wheels -r requirements.txt\n",
        # what is not there
        "COPY . .\nRUN pip install -r nowhere.txt\n",
        "COPY . .\nRUN pip install -r requirements-missing.txt\n",
        f"COPY app/main.py app/\n{PIP}",
        # what else a step does
        "COPY . .\nRUN pip install -r requirements.txt && python manage.py collectstatic\n",
        f"COPY . .\nRUN ./build.sh\n{PIP}",
        f"COPY . .\nRUN rm -rf tests\n{PIP}",
        "COPY . .\nRUN pip install -r requirements.txt || true\n",
        "COPY . .\nRUN pip install -r $FILE\n",
        'COPY . .\nRUN ["pip", "install", "-r", "requirements.txt"]\n',
        "COPY . .\nRUN <<EOF\npip install -r requirements.txt\nEOF\n",
        "COPY . .\nRUN --mount=type=bind,target=/x pip install -r requirements.txt\n",
        f"COPY . .\nRUN apt-get install -y ./thing.deb\n{PIP}",
        # where the files go
        "WORKDIR /a\nCOPY . .\nWORKDIR /b\nRUN pip install fastapi\n",
        f"COPY . $HOME\n{PIP}",
        f'COPY [".", "."]\n{PIP}',
        f"COPY --exclude=x . .\n{PIP}",
        f"COPY . .\nCOPY --from=other /code /code\n{PIP}",
        f"COPY . .\nVOLUME /code\n{PIP}",
        f"COPY . .\nSHELL [\"/bin/bash\", \"-c\"]\n{PIP}",
    ],
)  # fmt: skip
def test_no_other_order_where_it_is_not_certain(text):
    assert ordered(text) is None


UV = {"pyproject.toml": "[project]\nname = 'x'\n", "uv.lock": "", "main.py": ""}
PACKAGE = {**UV, "pyproject.toml": "[project]\nname='x'\n[build-system]\nrequires=[]\n"}
POETRY = {"pyproject.toml": "[tool.poetry]\nname='x'\n", "poetry.lock": ""}


@pytest.mark.parametrize(
    ("command", "files", "certain"),
    [
        ("uv sync --frozen", UV, True),
        ("uv sync --frozen", PACKAGE, False),
        ("uv sync --frozen --no-install-project", PACKAGE, True),
        ("uv sync --frozen", {**UV, "pyproject.toml": "[tool.uv.workspace]\nmembers=['a']\n"}, False),
        ("uv sync --no-install-project", {**UV, "pyproject.toml": "[tool.uv.sources]\na={path='./a'}\n"}, False),
        ("uv sync --frozen", {**UV, ".venv/pyvenv.cfg": ""}, False),
        ("uv sync", {"pyproject.toml": UV["pyproject.toml"]}, False),
        ("uv sync --package a", UV, False),
        ("poetry install --no-root", POETRY, True),
        ("poetry install", POETRY, False),
        ("poetry install", {**POETRY, "pyproject.toml": "[tool.poetry]\npackage-mode = false\n"}, True),
        ("pip install poetry && poetry config virtualenvs.create false && poetry install --no-root", POETRY, True),
    ],
)
def test_projects_with_a_lock(command, files, certain):
    lock = "poetry.lock" if "poetry" in command else "uv.lock"
    before = f"WORKDIR /code\nCOPY . .\nRUN {command}\nCMD x\n"
    expected = f"WORKDIR /code\nCOPY pyproject.toml {lock} ./\nRUN {command}\nCOPY . .\nCMD x\n"
    assert ordered(before, files) == (expected if certain else None)


def test_the_stage_that_the_line_is_in():
    builder = "FROM a AS builder\n{}RUN pip install --prefix=/out -r requirements.txt\n{}"
    rest = "FROM a\nCOPY --from=builder /out /usr/local\nCOPY . .\nCMD x\n"
    text = builder.format("COPY . .\n", "") + rest
    fixed, _ = dependencies_first(text, read=FILES.get, line=2)
    assert fixed == builder.format("COPY requirements.txt ./\n", "COPY . .\n") + rest
    assert dependencies_first(text, read=FILES.get, line=6) is None
    assert dependencies_first(text, read=FILES.get, line=None) is None


# --- by what was found -----------------------------------------------------------------------------------------------

DOCKERFILE = "FROM a\nWORKDIR /code\nCOPY . .\nRUN pip install -r requirements.txt\nCMD uvicorn main:app\n"


def audit(**verdicts):
    return Audit(
        "1",
        ".",
        "Dockerfile",
        (),
        tuple(Finding(id_.replace("_", "-"), v, "o", "w", line=3) for id_, v in verdicts.items()),
    )


ALL = {
    "stops_on_sigterm": "fail",
    "pid_1": "fail",
    "lifespan_shutdown": "not measured",
    "code_change_keeps_dependencies_cached": "fail",
    "behind_tls_proxy": "warn",
    "non_root": "warn",
}


def test_all_fixes_one_after_the_other():
    found = candidates(DOCKERFILE, audit(**ALL), read=FILES.get, writes_own_folders=False)
    assert [each.checks for each in found] == [
        ("code-change-keeps-dependencies-cached",),
        ("stops-on-sigterm", "pid-1"),
        ("behind-tls-proxy",),
        ("non-root",),
    ]
    assert found[-1].text == (
        "FROM a\nWORKDIR /code\nCOPY requirements.txt ./\nRUN pip install -r requirements.txt\nCOPY . .\n"
        f'USER {USER}\nCMD ["uvicorn", "main:app", {ADDED}]\n'
    )
    assert found[0].text.endswith("CMD uvicorn main:app\n")


def test_what_passes_is_not_changed():
    assert candidates(DOCKERFILE, audit(**dict.fromkeys(ALL, "pass")), read=FILES.get, writes_own_folders=False) == ()
    assert candidates(DOCKERFILE, audit(**dict.fromkeys(ALL, "not measured")), read=FILES.get) == ()
    assert candidates(DOCKERFILE, audit(), read=FILES.get) == ()


def test_each_fix_is_for_its_own_finding():
    for id_, verdict in ALL.items():
        expected = [] if verdict == "not measured" else [(id_.replace("_", "-"),)]
        found = candidates(
            DOCKERFILE.replace("CMD uvicorn main:app", 'CMD ["uvicorn", "main:app"]') if "proxy" in id_ else DOCKERFILE,
            audit(**{id_: verdict}),
            read=FILES.get,
            writes_own_folders=False,
        )
        assert [each.checks for each in found] == expected, id_


def test_who_writes_stays_who_it_is():
    assert candidates(DOCKERFILE, audit(non_root="warn"), read=FILES.get) == ()


@pytest.mark.parametrize("name", ["stops_on_sigterm", "lifespan_shutdown", "pid_1", "workers_stop"])
def test_each_check_of_a_stop_asks_for_the_exec_form(name):
    (fix,) = candidates(DOCKERFILE, audit(**{name: "fail"}), read=FILES.get)
    assert fix.text.endswith('CMD ["uvicorn", "main:app"]\n')


def test_fixes_are_dropped_until_the_copy_can_be_audited(tmp_path):
    for name in ("requirements.txt", "main.py"):
        (tmp_path / name).write_text(FILES[name])
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    observed = SimpleNamespace(idle=SimpleNamespace(written=()), read_only=SimpleNamespace(answered=True))

    def audited(project):
        if "CMD uvicorn main:app" not in project.path.read_text():
            raise LabError("It does not start.", "")
        return audit(**ALL | {"code_change_keeps_dependencies_cached": "pass"})

    said = []
    (fix,) = proven(Project(".", tmp_path), audit(**ALL), observed, audited, said.append)
    assert fix.checks == ("code-change-keeps-dependencies-cached",)
    assert sum("not kept" in line for line in said) == 3


# --- the diff --------------------------------------------------------------------------------------------------------


def test_a_diff():
    assert diff("FROM a\nCMD b\n", "FROM a\nCMD c\n", "docker/Dockerfile") == (
        "--- a/docker/Dockerfile\n+++ b/docker/Dockerfile\n@@ -1,2 +1,2 @@\n FROM a\n-CMD b\n+CMD c\n"
    )
    assert diff("same\n", "same\n", "x") == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (DOCKERFILE, candidates(DOCKERFILE, audit(**ALL), read=FILES.get, writes_own_folders=False)[-1].text),
        ("FROM a\nCMD b", "FROM a\nCMD c"),
        ("FROM a\nCMD b", "FROM a\nCMD c\n"),
        ("FROM a\r\nCMD b\r\n", "FROM a\r\nCMD c\r\n"),
        ("FROM a\n\x0c\u2028x\nCMD b\n", "FROM a\n\x0c\u2028x\nCMD c\n"),
    ],
)
def test_git_takes_the_diff(tmp_path, old, new):
    git = shutil.which("git")
    assert git, "git is needed to try the diff"
    (tmp_path / "Dockerfile").write_bytes(old.encode())
    patch = diff(old, new, "Dockerfile").encode()
    subprocess.run([git, "apply", "-"], input=patch, cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "Dockerfile").read_bytes() == new.encode()
