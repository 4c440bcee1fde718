"""What looks like a secret, and what only looks like the name of one."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_SECRET_NAME = re.compile(
    r"(?i)(^|_)(password|passwd|secret|token|api_?key|private_?key|secret_?key|access_?key|credentials?|auth)(_|$)"
)
_NO_SECRET_NAME = re.compile(r"(?i)(^GPG_KEY$|_FILE$|_PATH$|_URL$|_ALGORITHM$|_EXPIRE|_TTL$|_LENGTH$|_HEADER$|_NAME$)")
_PLACEHOLDER = re.compile(r"^\$|^\s*$|^(true|false|none|null|\d{1,4})$", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"\b\w+://[^/\s:@]+:([^@/\s$]+)@")

_KEY = re.compile(rb"-----BEGIN ([A-Z]+ )*PRIVATE KEY-----")
_KEY_NAME = re.compile(r"^id_((rsa|dsa|ecdsa|ed25519)$|.*\.(pem|key|p12|pfx)$)", re.DOTALL)
_ENV_NAME = re.compile(r"^\.env(\..+)?$|^[\w-]+\.env$")
_EXAMPLE = re.compile(r"(?i)example|sample|template|dist$|\.md$")
_CREDENTIALS = re.compile(
    r"(^|/)(\.pypirc|\.netrc|\.git-credentials|\.htpasswd|credentials\.json|service[-_]account.*\.json|\.aws/credentials|"
    r"\.docker/config\.json|\.npmrc|\.pgpass|\.vault[-_]token)$"
)


def secret_in_file(path: str, content: bytes) -> str:
    """What a file is that looks like a secret; empty where it does not.

    Args:
        path: its path, of which the name and the folders count.
        content: how it begins.
    """
    name = PurePosixPath(path).name
    if _EXAMPLE.search(name):
        return ""
    if _KEY.search(content) or _KEY_NAME.search(name):
        return "a private key"
    if _ENV_NAME.match(name) and re.search(rb"^\s*(export\s+)?[A-Za-z_]\w*\s*=\s*\S", content, re.MULTILINE):
        return "a file of variables"
    if _CREDENTIALS.search(path) and content.strip() and (name != ".npmrc" or b"_auth" in content):
        return "credentials"
    return ""


def secret_in_assignment(name: str, value: str) -> bool:
    """Whether a variable's name, and a value that is not empty and no placeholder, look like a secret."""
    if _URL_PASSWORD.search(value):
        return True
    return bool(_SECRET_NAME.search(name) and not _NO_SECRET_NAME.search(name) and not _PLACEHOLDER.match(value))
