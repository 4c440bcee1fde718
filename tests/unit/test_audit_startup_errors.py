"""What an application needs that will not start, by the words of its log."""

import pytest
from dockerlab.audit import startup_errors

PYDANTIC = """\
pydantic_core._pydantic_core.ValidationError: 2 validation errors for Settings
database_url
  Field required [type=missing, input_value={}, input_type=dict]
api_token
  Field required [type=missing, input_value={}, input_type=dict]
"""


@pytest.mark.parametrize(
    ("log", "names"),
    [
        ("    raise KeyError(key) from None\nKeyError: 'DATABASE_URL'", ["DATABASE_URL"]),
        (PYDANTIC, ["DATABASE_URL", "API_TOKEN"]),
        ("RuntimeError: SECRET_KEY is not set", ["SECRET_KEY"]),
        ("ValueError: Please set the SECRET_KEY environment variable", ["SECRET_KEY"]),
        ('environs.exceptions.EnvError: Environment variable "PORT_A" not set', ["PORT_A"]),
        (
            "decouple.UndefinedValueError: SECRET_KEY not found. Declare it as envvar or define a default",
            ["SECRET_KEY"],
        ),
        ("/entrypoint.sh: 3: DATABASE_URL: parameter not set", ["DATABASE_URL"]),
        ("entrypoint.sh: line 3: DATABASE_URL: unbound variable", ["DATABASE_URL"]),
        ("INFO:     Application startup complete.", []),
        ("ERROR:    Application startup failed. Exiting.", []),
        ("KeyError: 'item_id'", []),
        ("", []),
    ],
)
def test_the_variables_that_a_log_names(log, names):
    assert startup_errors.needed_variables(log) == names


@pytest.mark.parametrize(
    ("log", "server"),
    [
        (
            "OSError: Multiple exceptions: [Errno 111] Connect call failed ('127.0.0.1', 5432)",
            "PostgreSQL at 127.0.0.1:5432",
        ),
        (
            "redis.exceptions.ConnectionError: Error 111 connecting to cache:6379. Connection refused.",
            "Redis at cache:6379",
        ),
        ('connection to server at "db" (10.0.0.2), port 5432 failed: Connection refused', "PostgreSQL at db:5432"),
        ('could not translate host name "db" to address: Name or service not known', "db"),
        ("pymysql.err.OperationalError: (2003, \"Can't connect to MySQL server on 'db' ([Errno -2])\")", "db"),
        (
            "pymongo.errors.ServerSelectionTimeoutError: mongo:27017: [Errno -3] Temporary failure",
            "MongoDB at mongo:27017",
        ),
        (
            "socket.gaierror: [Errno -2] Name or service not known",
            "a server that it could not reach (Name or service not known)",
        ),
        ("connecting to postgresql://me:x@db:5432/shop\ngaierror: Name or service not known", "PostgreSQL at db:5432"),
        ("ModuleNotFoundError: No module named 'psycopg'", ""),
    ],
)
def test_the_server_that_a_log_names(log, server):
    assert startup_errors.needed_server(log) == server


def test_the_advice_names_what_to_pass():
    assert "--env DATABASE_URL=" in startup_errors.advice("KeyError: 'DATABASE_URL'")
    assert "PostgreSQL at db:5432" in startup_errors.advice("Connect call failed ('db', 5432)")
    assert "gosu" in startup_errors.advice(
        'sudo: The "no new privileges" flag is set, which prevents sudo from running as root.'
    )
    assert startup_errors.advice("SyntaxError: invalid syntax") == ""


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (["/bin/sh", "-c", "uvicorn a:b --port $PORT"], ["PORT"]),
        (["/bin/bash", "-lc", "uvicorn a:b --port ${PORT} --host $HOST"], ["PORT"]),
        (["/bin/sh", "-c", "uvicorn a:b --port ${PORT:-80}"], []),
        (["uvicorn", "a:b", "--port", "$PORT"], []),
        ([], []),
    ],
)
def test_the_variables_that_a_command_uses_and_nobody_sets(command, names):
    assert startup_errors.unset_variables(command, {"HOST": "0.0.0.0", "PORT": ""}) == names
