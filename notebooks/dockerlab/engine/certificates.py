"""The certificate authorities that this machine trusts beyond the public ones: a company's, or a proxy's.

Behind a proxy that opens TLS every `pip install` in a build fails, unless the image trusts the proxy's authority, too.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

import certifi

STORE = Path("/usr/local/share/ca-certificates")
"""Where Debian and Ubuntu keep the authorities that an administrator added (manual page update-ca-certificates)."""

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""The bundle that `update-ca-certificates` writes, in the machine and in the base image."""

VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
"""What Python's ssl (and httpx), pip and requests read the name of a bundle from."""

ENVIRONMENT = dict.fromkeys(VARIABLES, BUNDLE)
"""The environment of images that trust what this machine trusts."""

UV = {"UV_SYSTEM_CERTS": "1"}
"""With this, uv trusts what the system trusts; else it knows the public authorities only (its page on TLS)."""

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def of_this_machine() -> tuple[str, ...]:
    """The authorities that were added on this machine, as PEM: in its store, or in a bundle that a variable names."""
    return added(STORE, os.environ, Path(certifi.where()))


def added(store: Path, environ: Mapping[str, str], public: Path) -> tuple[str, ...]:
    """The certificates in a store, and those in the bundles that variables name, which are not public ones.

    Args:
        store: a folder of `.crt` files.
        environ: the variables.
        public: the bundle of public authorities.
    """
    files = sorted(store.rglob("*.crt")) if store.is_dir() else []
    named = {Path(environ[name]) for name in VARIABLES if environ.get(name)}
    # The system's bundle is the public authorities and those of the store, which are in `files` already.
    files += sorted(path for path in named if path.is_file() and path.resolve() != Path(BUNDLE).resolve())
    known = {_fingerprint(pem) for pem in _read(public)}
    found = {_fingerprint(pem): pem for path in files for pem in _read(path)}
    return tuple(pem + "\n" for fingerprint, pem in found.items() if fingerprint and fingerprint not in known)


def digest(certificates: Iterable[str]) -> str:
    """A short name for a set of certificates: eight hexadecimal digits."""
    return hashlib.sha256("".join(sorted(certificates)).encode()).hexdigest()[:8]


def _read(path: Path) -> list[str]:
    try:
        return _PEM.findall(path.read_text(errors="replace"))
    except OSError:
        return []


def _fingerprint(pem: str) -> str:
    """The SHA-256 of a certificate, or "" where it is none."""
    try:
        der = ssl.PEM_cert_to_DER_cert(pem)
    except ValueError:
        return ""
    return hashlib.sha256(der).hexdigest() if der else ""
