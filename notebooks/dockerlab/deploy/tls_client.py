"""HTTPS clients that verify, whatever this machine calls the server: they reach it by the port that it publishes."""

from __future__ import annotations

import contextlib
import socket
import ssl

import httpx
import trustme

from ..errors import CertificateRefused


def trust(authority: trustme.CA) -> ssl.SSLContext:
    """What a client verifies with that trusts this authority and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
    authority.configure_trust(context)
    return context


def client_to(port: int, context: ssl.SSLContext) -> httpx.Client:
    """A client that connects to one port of this machine for every host, as `curl --connect-to` does, and verifies the
    certificate for the host in the URL.

    Args:
        port: where the server accepts connections.
        context: whom the client trusts.
    """
    # A proxy that the environment names is not for this.
    return httpx.Client(transport=_PortTransport(port, context), timeout=30, trust_env=False)


class _PortTransport(httpx.HTTPTransport):
    """Connects to the same port for each host."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        # A connection of its own for each request: none is kept to a process that a reload has ended.
        super().__init__(verify=context, limits=httpx.Limits(max_keepalive_connections=0))
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if request.url.scheme != "https":
            raise httpx.ConnectError(f"the proxy publishes no port for {request.url.scheme}", request=request)
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        try:
            return super().handle_request(request)
        except httpx.ConnectError as error:
            cause: BaseException | None = error
            while cause is not None:
                if isinstance(cause, ssl.SSLCertVerificationError):
                    raise _refused(host, cause.verify_message) from error
                cause = cause.__cause__ or cause.__context__
            raise


def _refused(host: str, why: str) -> CertificateRefused:
    do = "Look at it: `openssl s_client -connect HOST:443 -servername HOST`."
    if "expired" in why:
        do = "Renew it, let the proxy read it (`nginx -s reload`), and see to it that this happens by itself next time."
    elif "issuer" in why or "self-signed" in why:
        do = "The client does not know the authority that issued it: give it that authority's certificate."
    elif "mismatch" in why:
        do = "It is for another name: issue one for this name, too."
    return CertificateRefused(f"The client refused the certificate for {host}: {why.rstrip('.')}.", do)


def answers_tls(port: int) -> bool:
    """Whether a TLS server answers at a port of this machine, whatever certificate it shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as plain:
        with contextlib.suppress(ssl.SSLCertVerificationError):
            context.wrap_socket(plain, server_hostname="localhost")
        return True
    return False
