"""Put applications behind a TLS termination proxy (`nginx`), and record what they make of the requests it hands on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from docker.models.networks import Network

from ..errors import LabError
from ..lab.lab import Lab
from ..records import FORGED, SeenRequest
from ..run.container_files import copy_into
from ..run.stop import Applications, Variant, serve_side_by_side
from .networks import address, subnet
from .nginx import Proxy, certificate_files, tls_proxy
from .tls_client import trust

# All that lesson 06 needs of a proxy.
__all__ = [
    "FORGED",
    "Proxy",
    "address",
    "ask",
    "certificate_files",
    "copy_into",
    "serve_behind",
    "subnet",
    "tls_proxy",
    "trust",
]

_HEADERS = ("host", "x-forwarded-proto", "x-forwarded-for", "x-forwarded-host", "x-forwarded-prefix")


def serve_behind(
    lab: Lab, apps: Network, variants: Mapping[str, Variant], *, aliases: Sequence[str] = ()
) -> Applications:
    """Start applications side by side on the network of a proxy, each under its name there, and publish no port.

    Args:
        lab: the open lab.
        apps: the network.
        variants: what to start, by the name that the proxy finds it under.
        aliases: further names that it finds all of them under.

    Raises:
        LabError: what `serve` raises for one of them; the others are removed, too.
    """
    unpublished = {
        name: replace(variant, port=None, ready=variant.ready or "Application startup complete")
        for name, variant in variants.items()
    }

    def connected(name: str) -> dict[str, Any]:
        endpoint = lab.client.api.create_endpoint_config(aliases=[name, *aliases])
        return {"network": apps.name, "networking_config": {apps.name: endpoint}}

    return serve_side_by_side(lab, unpublished, connected)


def ask(
    proxy: Proxy,
    host: str,
    *,
    name: str | None = None,
    prefix: str = "",
    headers: Mapping[str, str] | None = None,
) -> SeenRequest:
    """Send requests to an application through the proxy, and record what it makes of them.

    The application is one like that of lesson 06: `/seen` returns what it has received, `/items` redirects to
    `/items/`.

    Args:
        proxy: the running proxy.
        host: the host in the URL, with its port where that is not the usual one: ``shop.example:8443``.
        name: the short name for the record; the host's first part if None.
        prefix: what each path begins with: ``/api``.
        headers: headers that the client sends, besides the usual ones.

    Raises:
        CertificateRefused: the proxy's certificate is not valid for that host.
        LabError: the proxy answers, and the application does not.
    """
    url = f"https://{host}{prefix}"
    headers = headers or {}
    mark = f"dockerlab/{time.time_ns()}"
    with proxy.client() as client:
        answer = client.get(f"{url}/seen", headers={**headers, "User-Agent": mark})
        if answer.status_code != 200:
            raise _unanswered(f"{url}/seen", answer.status_code, proxy)
        redirect = client.get(f"{url}/items", headers=headers)
        schema = client.get(f"{url}/openapi.json", headers=headers)
    seen = answer.json()
    received = seen["headers"]
    owners = {
        FORGED: "forged",
        **dict.fromkeys(proxy.addresses, "the proxy"),
        proxy.client_address(mark): "the client",
    }

    def with_owners(header: str, value: str) -> str:
        """A header's value; instead of each address in X-Forwarded-For, whose it is."""
        if header != "x-forwarded-for":
            return value
        return ", ".join(owners.get(part.strip(), part.strip()) for part in value.split(","))

    servers = schema.json().get("servers", []) if schema.status_code == 200 else []
    return SeenRequest(
        name=name or host.split(".")[0],
        url=f"{url}/seen",
        passed={header: with_owners(header, received[header]) for header in _HEADERS if header in received},
        scheme=seen["scheme"],
        client=owners.get(seen["client"], seen["client"]),
        claimed={header.lower(): with_owners(header.lower(), value) for header, value in headers.items()},
        url_for=seen["url_for"],
        location=redirect.headers.get("location", ""),
        docs_server=servers[0]["url"] if servers else "",
    )


def _unanswered(url: str, status: int, proxy: Proxy) -> LabError:
    if status not in (502, 504):
        return LabError(f"{url} was answered with status {status}.", "Does the application have that path?")
    words = proxy.last_error()
    do = "Look at the proxy's log, and at the application's."
    if "could not be resolved" in words:
        do = "No container has that name on the proxy's network: start the application there, under this name."
    elif "refused" in words:
        do = "The container is there, and nothing in it listens on that port: is it still starting, or on another port?"
    elif "timed out" in words or "unreachable" in words or "No route" in words:
        do = "No container has that address any more: start the application, or let the proxy look up its name again."
    seen = f"{url} was answered by the proxy itself, with status {status}: it did not reach the application ({words})."
    return LabError(seen, do)
