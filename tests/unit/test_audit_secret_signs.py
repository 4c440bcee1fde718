"""What looks like a secret, and what only looks like the name of one."""

import pytest
from dockerlab.audit.secret_signs import secret_in_assignment, secret_in_file

KEY = b"-----BEGIN " + b"OPENSSH PRIVATE KEY-----\n"  # in two parts, so that no scanner takes this test for a key


@pytest.mark.parametrize(
    ("path", "content", "what"),
    [
        ("app/.env", b"TOKEN=abc\n", "a file of variables"),
        (".env.production", b"export A=1\n", "a file of variables"),
        ("prod.env", b"A=1\n", "a file of variables"),
        (".env", b"# nothing\n", ""),
        (".env.example", b"TOKEN=abc\n", ""),
        ("app/env.py", b"A = 1\n", ""),
        ("deploy/server.pem", KEY, "a private key"),
        ("cacert.pem", b"-----BEGIN CERTIFICATE-----\n", ""),
        ("root/.ssh/id_ed25519", b"x", "a private key"),
        ("id_ed25519.pub", b"ssh-ed25519 AAAA", ""),
        ("root/.netrc", b"machine x login y", "credentials"),
        ("root/.aws/credentials", b"[default]\naws_secret_access_key = x", "credentials"),
        (".npmrc", b"registry=x\n", ""),
        (".npmrc", b"//x/:_authToken=abc\n", "credentials"),
        ("app/main.py", b"app = FastAPI()\n", ""),
    ],
)
def test_files(path, content, what):
    assert secret_in_file(path, content) == what


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("API_KEY", "abc123", True),
        ("DB_PASSWORD", "hunter2", True),
        ("TOKEN", "x1y2", True),
        ("DATABASE_URL", "postgresql://me:hunter2@db/x", True),
        ("DATABASE_URL", "postgresql://db/x", False),
        ("GPG_KEY", "7169605F62C751356D054A26A821E680E5FA6305", False),
        ("API_KEY", "", False),
        ("API_KEY", "$API_KEY", False),
        ("TOKEN_URL", "/token", False),
        ("PASSWORD_FILE", "/run/secrets/x", False),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "30", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("PYTHON_SHA256", "abc", False),
        ("KEYBOARD", "de", False),
    ],
)
def test_assignments(name, value, found):
    assert secret_in_assignment(name, value) is found
