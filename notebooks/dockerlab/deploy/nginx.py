"""A TLS termination proxy: a real Nginx with a real certificate, of an authority that lives as long as the experiment.

Clients trust that authority and no other. There are two networks: `web`, by which the outside reaches the proxy, and
`apps`, which has no way out and joins the proxy and the applications. Only the proxy publishes a port.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import httpx
import trustme
from docker.errors import NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from ..errors import LabError
from ..lab.lab import Lab
from ..records import Build
from ..run.container import Service, container_errors_explained, create_errors_explained, errors_explained
from ..run.container_files import archive, copy_into, read
from ..wait import tries, until
from .networks import address, network, published
from .tls_client import answers_tls, client_to, trust

CERTIFICATES = PurePosixPath("/etc/nginx/certs")
SITES = PurePosixPath("/etc/nginx/conf.d")

_LOG_SECONDS = 5
"""How long a line of the log is waited for: what a container prints is in its log a moment later."""

_RELOAD_SECONDS = 10


@dataclass(frozen=True, repr=False, eq=False)
class Proxy:
    """A running TLS termination proxy, and what belongs to it.

    Attributes:
        lab: the lab it belongs to.
        container: the docker SDK's container.
        authority: the certificate authority that its clients trust.
        web: the network by which the outside reaches it.
        apps: the network on which it reaches the applications.
    """

    lab: Lab
    container: Container
    authority: trustme.CA
    web: Network
    apps: Network

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "a TLS termination proxy"

    @property
    def port(self) -> int:
        """The port of this machine at which it accepts connections."""
        if port := self._published():
            return port
        raise LabError("The proxy does not run.", "Its log says why.", log=self.log())

    def _published(self) -> int | None:
        with container_errors_explained(self.lab, "the proxy"):
            return published(self.container, 443)

    def client(self, authority: trustme.CA | None = None) -> httpx.Client:
        """A client that connects to this proxy for every host, and verifies the certificate for the host in the URL.

        Args:
            authority: the only authority that it trusts; that of the proxy if None.
        """
        return client_to(self.port, trust(authority or self.authority))

    def log(self) -> str:
        """All that Nginx has printed so far."""
        with container_errors_explained(self.lab, "the proxy"):
            return self.container.logs().decode(errors="replace")

    def last_error(self) -> str:
        """The last error in its log, in Nginx's own words: ``connect() failed (111: …)``; "" where none comes.

        The first is waited for, up to 5 seconds.
        """
        pattern = r"\[error\] [\d#]+: \*\d+ (.+?)(?: while .*)?, client: "
        found: list[str] = until(lambda: re.findall(pattern, self.log()), _LOG_SECONDS)
        return found[-1] if found else ""

    def wait(self, timeout: float = 60) -> None:
        """Wait until it accepts connections.

        Raises:
            LabError: it ended, or did not accept any in time.
        """
        for _ in tries(timeout):
            port = self._published()
            if self.container.status == "exited":
                raise _not_accepted(self.log())
            if port and answers_tls(port):  # the engine's own proxy accepts connections before Nginx does
                return
        raise LabError("The proxy accepts no TLS connection.", "Its log says why.", log=self.log())

    def client_address(self, mark: str) -> str:
        """The address of the client that sent `mark` as its User-Agent, as the proxy saw and logged it.

        Raises:
            LabError: there is no such line in its log.
        """
        line = re.compile(rf'^(\S+) .*"{re.escape(mark)}"$', re.MULTILINE)
        if found := until(lambda: line.search(self.log()), _LOG_SECONDS, 0.02):
            return found[1]
        raise LabError(
            "The proxy has not logged the request, so nobody knows from which address it came.",
            "Leave its access log on standard output, in Nginx's usual format.",
        )

    @cached_property
    def addresses(self) -> set[str]:
        """Its own addresses, one on each network."""
        with errors_explained(self.lab, "the proxy"):
            return {address(self.container, made) for made in (self.web, self.apps)}

    def add(self, *sites: str | Path) -> None:
        """Copy sites into the running proxy, and have it read its configuration again, as `nginx -s reload` does.

        Args:
            sites: configuration files. One with the name of a present site replaces it.

        Raises:
            LabError: Nginx does not accept one of them. All files are again what they were, and the proxy runs on as
                before.
        """
        files = {SITES / Path(site).name: site for site in sites}
        with container_errors_explained(self.lab, "the proxy"), contextlib.ExitStack() as undo:
            undo.callback(self._put_back, {path: archive(self.container, path) for path in files})
            copy_into(self.container, files)
            code, output = self.container.exec_run(["nginx", "-t", "-q"])
            if code:
                # The stub knows only a stream where nobody asked for one, too.
                raise _not_accepted(output.decode(errors="replace"))  # type: ignore[union-attr]
            workers = self._workers()
            self.container.exec_run(["nginx", "-s", "reload"])
            # New connections are taken by the old processes, too, until they have been told to end.
            if not until(lambda: not self._workers() & workers, _RELOAD_SECONDS):
                raise LabError("Nginx did not reload its configuration.", "Its log says why.", log=self.log())
            undo.pop_all()
        self.wait()

    def _put_back(self, before: Mapping[PurePosixPath, bytes | None]) -> None:
        """Restore the sites: the archive of each, or None where there was none."""
        if new := [str(path) for path, content in before.items() if content is None]:
            self.container.exec_run(["rm", "-f", *new])
        for content in filter(None, before.values()):
            self.container.put_archive(str(SITES), content)

    def _workers(self) -> set[str]:
        """The processes that accept connections, by their ids."""
        listing = self.container.top(ps_args="-eo pid,args")["Processes"] or []
        return {pid for pid, arguments in listing if arguments.strip() == "nginx: worker process"}

    def close(self) -> None:
        """Remove the proxy and its networks. What else is connected to them is disconnected. Safe to call twice."""
        with errors_explained(self.lab, "the proxy"):
            with contextlib.suppress(NotFound):
                self.container.remove(force=True, v=True)
            for made in (self.web, self.apps):
                with contextlib.suppress(NotFound):
                    made.reload()
                    for item in made.containers:
                        made.disconnect(item, force=True)
                    made.remove()


def tls_proxy(
    lab: Lab,
    image: str | Build,
    sites: str | Path | Sequence[str | Path] = (),
    *,
    hosts: str | Iterable[str],
    name: str = "proxy",
    certificate: trustme.LeafCert | None = None,
    authority: trustme.CA | None = None,
) -> Proxy:
    """Start a TLS termination proxy, with two networks and a certificate of its own.

    It finds its certificate and key as `/etc/nginx/certs/server.pem` and `server.key`.

    Args:
        lab: the open lab.
        image: an image with Nginx, its logs on standard output.
        sites: the proxy's configuration files; without any it accepts no connections until `add` brings one.
        hosts: the names that the certificate is for; one may start with ``*.``.
        name: the short name for the container, and for what the networks' names begin with.
        certificate: instead of one that is valid now.
        authority: who issued `certificate`.

    Raises:
        LabError: a file cannot be read, a host's name is none, there is no such image, Nginx does not accept the
            configuration, or a network cannot be made.
    """
    # Read before anything is made.
    files = {SITES / Path(site).name: read(site) for site in ([sites] if isinstance(sites, str | Path) else sites)}
    hosts = [hosts] if isinstance(hosts, str) else list(hosts)
    authority = authority or trustme.CA()
    try:
        certificate = certificate or authority.issue_cert(*hosts)
    except ValueError as error:
        seen = f"No certificate can be made for {', '.join(map(repr, hosts)) or 'no host at all'} ({error})."
        raise LabError(seen, 'Give host names, without scheme or port: hosts=["shop.example"].') from error
    tag = image.image if isinstance(image, Build) else image
    with contextlib.ExitStack() as undo:
        web = network(lab, f"{name}-web")
        undo.callback(web.remove)
        apps = network(lab, f"{name}-apps", internal=True)
        undo.callback(apps.remove)
        with create_errors_explained(lab, name, tag):
            container = lab.client.containers.create(
                tag,
                name=lab.name(name),
                labels=lab.labels,
                network=web.name,
                ports={"443/tcp": ("127.0.0.1", None)},  # type: ignore[dict-item]  # the stub wants a port here, too
                mem_limit="128m",
            )
        undo.callback(container.remove, force=True)
        with errors_explained(lab, name):
            apps.connect(container)
            copy_into(container, certificate_files(certificate) | files)
            Service(lab, name, container, 443, "/").start(None)
        proxy = Proxy(lab, container, authority, web, apps)
        if files:
            proxy.wait()
        undo.pop_all()
    return proxy


def certificate_files(certificate: trustme.LeafCert) -> dict[PurePosixPath, bytes]:
    """A certificate and its key, by the paths at which the proxy finds them."""
    return {
        CERTIFICATES / "server.pem": b"".join(pem.bytes() for pem in certificate.cert_chain_pems),
        CERTIFICATES / "server.key": certificate.private_key_pem.bytes(),
    }


def _not_accepted(words: str) -> LabError:
    """Nginx refuses a configuration with one line that begins with ``[emerg]``."""
    found = re.search(r"\[emerg\] (?:\d+#\d+: )?(.+)", words)
    seen = f"Nginx does not accept its configuration: {found[1].strip() if found else words.strip()}."
    do = "Fix the line that it names."
    if "host not found in upstream" in seen:
        do = (
            "It looks up a name in `proxy_pass` once, when it starts, and there is no such container yet: start that "
            "first, or let Nginx look the name up while it runs (`resolver`, and a variable in `proxy_pass`)."
        )
    return LabError(seen, do)
