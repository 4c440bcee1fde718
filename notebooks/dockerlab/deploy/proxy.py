"""Put applications behind a TLS termination proxy, and tell what they make of the requests that it hands on.

The proxy is a real Nginx with a real certificate, of an authority that lives as long as the experiment. Clients trust
that authority and no other. There are two networks: `web`, by which the outside reaches the proxy, and `apps`, which
has no way out and joins the proxy and the applications. Only the proxy publishes a port.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import ssl
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath

import httpx
import trustme
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from ..engine import engine_errors
from ..errors import CertificateRefused, LabError
from ..lab.lab import Lab
from ..records import Build, SeenRequest
from ..run.container import Service, container_errors_explained, create_errors_explained, errors_explained, serve
from ..run.stop import STARTUP_SECONDS, Variant

CERTIFICATES = PurePosixPath("/etc/nginx/certs")
SITES = PurePosixPath("/etc/nginx/conf.d")

FORGED = "203.0.113.7"
"""An address that a client claims to have: one of those that RFC 5737 keeps for documentation."""

_HEADERS = ("host", "x-forwarded-proto", "x-forwarded-for", "x-forwarded-host", "x-forwarded-prefix")
_ADDRESSES = "x-forwarded-for"
_RELOAD_SECONDS = 10


# --- networks and files ----------------------------------------------------------------------------------------------


def network(lab: Lab, name: str, *, internal: bool = False) -> Network:
    """Make a network. The engine picks its addresses, so that no two learners' networks overlap.

    Args:
        lab: what the network belongs to.
        name: its short name.
        internal: whether it is without a way out.

    Raises:
        LabError: a network of that name is there already, or the engine has no addresses left.
    """
    try:
        with errors_explained(lab, name):
            made = lab.client.networks.create(
                lab.name(name), driver="bridge", check_duplicate=True, internal=internal, labels=lab.labels
            )
            made.reload()  # now its subnet is known
            return made
    except APIError as error:
        words = str(error.explanation or error).strip()
        if "already exists" in words:
            raise LabError(
                f"The engine has a network with the name {lab.name(name)} already.",
                "Choose another name, or remove that network first: `docker network rm`.",
            ) from error
        if "address pool" in words:
            raise LabError(
                f"The engine has no addresses left for another network ({words}).",
                "Look at `docker network ls`; `dockerlab clean` removes those that the laboratory made.",
            ) from error
        raise LabError(f"The engine would not make the network {name!r}: {words}.", "Look at what it says.") from error


def subnet(made: Network) -> str:
    """The addresses of a network, as a CIDR: ``172.19.0.0/16``."""
    return next(item["Subnet"] for item in made.attrs["IPAM"]["Config"] if ":" not in item["Subnet"])


def address(container: Container, made: Network) -> str:
    """The address that a container has on one of its networks, or "" where it has none there."""
    container.reload()
    return container.attrs["NetworkSettings"]["Networks"].get(made.name, {}).get("IPAddress", "")


def copy_into(container: Container, files: Mapping[str | PurePosixPath, bytes | str | Path]) -> None:
    """Copy files into a container, running or not, as `docker cp` does.

    Args:
        container: the container.
        files: what to copy, a file or its content, by the path that it gets in there.

    Raises:
        LabError: a file cannot be read. Nothing has been copied then.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, source in files.items():
            content = source if isinstance(source, bytes) else _read(source)
            member = tarfile.TarInfo(str(path).lstrip("/"))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    container.put_archive("/", buffer.getvalue())


def _archive(container: Container, path: PurePosixPath) -> bytes | None:
    """A file of a container as a tar archive, or None where there is none."""
    try:
        return b"".join(container.get_archive(str(path))[0])
    except NotFound:
        return None


def _read(file: str | Path) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise engine_errors.of_a_file(error) from error


# --- the proxy -------------------------------------------------------------------------------------------------------


class Proxy:
    """A running TLS termination proxy, and what belongs to it.

    Attributes:
        lab: the lab it belongs to.
        container: the docker SDK's container.
        authority: the certificate authority that its clients trust.
        web: the network by which the outside reaches it.
        apps: the network on which it reaches the applications.
    """

    def __init__(self, lab: Lab, container: Container, authority: trustme.CA, web: Network, apps: Network) -> None:
        self.lab = lab
        self.container = container
        self.authority = authority
        self.web = web
        self.apps = apps

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
            self.container.reload()
        bindings = self.container.attrs["NetworkSettings"]["Ports"].get("443/tcp")
        return int(bindings[0]["HostPort"]) if bindings else None

    def client(self, authority: trustme.CA | None = None) -> httpx.Client:
        """A client that connects to this proxy whatever host is asked for, as `curl --connect-to` does.

        It verifies the certificate for the host that was asked for.

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

        What a container writes is in its log a moment later: the first is waited for, up to 5 seconds.
        """
        deadline = time.monotonic() + 5
        while not (found := re.findall(r"\[error\] [\d#]+: \*\d+ (.+?)(?: while .*)?, client: ", self.log())):
            if time.monotonic() > deadline:
                return ""
            time.sleep(0.05)
        return found[-1]

    def wait(self, timeout: float = 60) -> None:
        """Wait until it accepts connections.

        Raises:
            LabError: it ended, or did not accept any in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            port = self._published()
            if self.container.status == "exited":
                raise _not_accepted(self.log())
            if port:
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=2) as plain:
                        _talk_tls(plain)
                    return
                except OSError:
                    pass  # the engine's own proxy accepts connections before Nginx does
            if time.monotonic() > deadline:
                raise LabError("The proxy accepts no TLS connection.", "Its log says why.", log=self.log())
            time.sleep(0.05)

    def client_address(self, mark: str) -> str:
        """The address of the client that sent `mark` as its User-Agent, as the proxy saw and logged it.

        Raises:
            LabError: there is no such line in its log.
        """
        deadline = time.monotonic() + 5
        while not (found := re.search(rf'^(\S+) .*"{re.escape(mark)}"$', self.log(), re.MULTILINE)):
            if time.monotonic() > deadline:
                raise LabError(
                    "The proxy has not logged the request, so nobody knows from which address it came.",
                    "Leave its access log on standard output, in Nginx's usual format.",
                )
            time.sleep(0.02)
        return found[1]

    @cached_property
    def addresses(self) -> set[str]:
        """Its own addresses, one on each network."""
        with errors_explained(self.lab, "the proxy"):
            return {address(self.container, made) for made in (self.web, self.apps)}

    def add(self, *sites: str | Path) -> None:
        """Copy sites into the running proxy, and let it read its configuration anew, as `nginx -s reload` does.

        Args:
            sites: configuration files. One that has the name of one that is there takes its place.

        Raises:
            LabError: Nginx does not accept one of them. All files are again what they were, and the proxy runs on as
                before.
        """
        sites = tuple(map(Path, sites))
        files = {SITES / site.name: site for site in sites}
        with container_errors_explained(self.lab, "the proxy"), contextlib.ExitStack() as undo:
            before = {path: _archive(self.container, path) for path in files}
            undo.callback(self._put_back, before)
            copy_into(self.container, files)
            code, output = self.container.exec_run(["nginx", "-t", "-q"])
            if code:
                raise _not_accepted(output.decode(errors="replace"))
            workers = self._workers()
            self.container.exec_run(["nginx", "-s", "reload"])
            deadline = time.monotonic() + _RELOAD_SECONDS
            # New connections are taken by the old processes, too, until they have been told to end.
            while self._workers() & workers:
                if time.monotonic() > deadline:
                    raise LabError("Nginx did not read its configuration anew.", "Its log says why.", log=self.log())
                time.sleep(0.05)
            undo.pop_all()
        self.wait()

    def _put_back(self, before: Mapping[PurePosixPath, bytes | None]) -> None:
        """Have the sites as they were: the archive of each, or None where there was none."""
        if new := [str(path) for path, archive in before.items() if archive is None]:
            self.container.exec_run(["rm", "-f", *new])
        for archive in filter(None, before.values()):
            self.container.put_archive(str(SITES), archive)

    def _workers(self) -> set[str]:
        """The processes that accept connections, by their ids."""
        listing = self.container.top(ps_args="-eo pid,args")["Processes"]
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
    files = {SITES / Path(site).name: _read(site) for site in ([sites] if isinstance(sites, str | Path) else sites)}
    hosts = [hosts] if isinstance(hosts, str) else list(hosts)
    authority = authority or trustme.CA()
    try:
        certificate = certificate or authority.issue_cert(*hosts)
    except ValueError as error:
        seen = f"No certificate can be made for {', '.join(map(repr, hosts)) or 'no host at all'} ({error})."
        raise LabError(seen, 'Give host names, without scheme or port: hosts=["shop.example"].') from error
    web = network(lab, f"{name}-web")
    with contextlib.ExitStack() as undo:
        undo.callback(web.remove)
        apps = network(lab, f"{name}-apps", internal=True)
        undo.callback(apps.remove)
        tag = image.image if isinstance(image, Build) else image
        with create_errors_explained(lab, name, tag):
            container = lab.client.containers.create(
                tag,
                name=lab.name(name),
                labels=lab.labels,
                network=web.name,
                ports={"443/tcp": ("127.0.0.1", None)},
                mem_limit="128m",
            )
        undo.callback(container.remove, force=True)
        with errors_explained(lab, name):
            apps.connect(container)
            copy_into(container, certificate_files(certificate) | files)
            Service(lab, name, container, 443, "/").start()
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
    if "host not found in upstream" in seen:
        return LabError(
            seen,
            "It looks up a name in `proxy_pass` once, when it starts, and there is no such container yet: start that "
            "first, or let Nginx look the name up while it runs (`resolver`, and a variable in `proxy_pass`).",
        )
    return LabError(seen, "Mend the line that it names.")


# --- clients that verify ---------------------------------------------------------------------------------------------


def trust(authority: trustme.CA) -> ssl.SSLContext:
    """What a client verifies with that trusts this authority and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
    authority.configure_trust(context)
    return context


def client_to(port: int, context: ssl.SSLContext) -> httpx.Client:
    """A client that connects to a port of this machine whatever host is asked for, and verifies the host's certificate.

    Args:
        port: where the proxy accepts connections.
        context: whom the client trusts.
    """
    # A proxy that the environment names is not for this.
    return httpx.Client(transport=_ToProxy(port, context), timeout=30, trust_env=False)


class _ToProxy(httpx.HTTPTransport):
    """Connects to the proxy for each host; what is asked for, and verified, stays the host."""

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


def _talk_tls(plain: socket.socket) -> None:
    """Say hello, and wait for an answer: whatever certificate comes is the clients' affair."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
    with contextlib.suppress(ssl.SSLCertVerificationError):
        context.wrap_socket(plain, server_hostname="localhost")


# --- applications behind it ------------------------------------------------------------------------------------------


class Applications(dict[str, Service]):
    """Running applications by their names, removed together."""

    def __enter__(self) -> Applications:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{len(self)} applications: {', '.join(self)}"

    def close(self) -> None:
        """Remove their containers. Safe to call twice."""
        if self:
            with ThreadPoolExecutor(len(self)) as pool:
                list(pool.map(Service.close, self.values()))


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
    with errors_explained(lab, "the engine"):
        processors = lab.client.info()["NCPU"]
    started = Applications()

    def start(name: str) -> None:
        variant = variants[name]
        started[name] = serve(
            lab,
            variant.image,
            name=name,
            port=None,
            ready=variant.ready or "Application startup complete",
            command=variant.command,
            entrypoint=variant.entrypoint,
            init=variant.init,
            environment=variant.environment,
            timeout=STARTUP_SECONDS,
            network=apps.name,
            networking_config={apps.name: lab.client.api.create_endpoint_config(aliases=[name, *aliases])},
        )

    try:
        with ThreadPoolExecutor(2 * processors) as pool:
            list(pool.map(start, variants))
    except BaseException:
        started.close()
        raise
    return Applications((name, started[name]) for name in variants)


def ask(
    proxy: Proxy,
    host: str,
    *,
    name: str | None = None,
    prefix: str = "",
    headers: Mapping[str, str] | None = None,
) -> SeenRequest:
    """Ask an application through the proxy, and record what it makes of that.

    The application is one like that of lesson 06: `/seen` tells what it believes, `/items` redirects to `/items/`.

    Args:
        proxy: the running proxy.
        host: the host that is asked for, with its port where that is not the usual one: ``shop.example:8443``.
        name: the short name for the record; the host's first part if None.
        prefix: what stands before each path: ``/api``.
        headers: headers that the client sends, besides the usual ones.

    Raises:
        CertificateRefused: the proxy's certificate is not valid for that host.
        LabError: the proxy answers, and the application does not.
    """
    url = f"https://{host}{prefix}"
    mark = f"dockerlab/{time.time_ns()}"
    with proxy.client() as client:
        answer = client.get(f"{url}/seen", headers={**(headers or {}), "User-Agent": mark})
        if answer.status_code != 200:
            raise _unanswered(f"{url}/seen", answer.status_code, proxy)
        redirect = client.get(f"{url}/items", headers=headers)
        schema = client.get(f"{url}/openapi.json", headers=headers)
    told = answer.json()
    client_address = proxy.client_address(mark)

    def whose(text: str) -> str:
        if text == client_address:
            return "the client"
        if text in proxy.addresses:
            return "the proxy"
        return "forged" if text == FORGED else text

    def told_by_whose(given: Mapping[str, str]) -> dict[str, str]:
        """The headers, with the addresses in them told by whose they are."""
        return {
            header: ", ".join(whose(part.strip()) for part in value.split(",")) if header == _ADDRESSES else value
            for header, value in given.items()
        }

    passed = {header: told["headers"][header] for header in _HEADERS if header in told["headers"]}
    claimed = {header.lower(): value for header, value in (headers or {}).items()}
    servers = schema.json().get("servers", []) if schema.status_code == 200 else []
    return SeenRequest(
        name=name or host.split(".")[0],
        url=f"{url}/seen",
        passed=told_by_whose(passed),
        scheme=told["scheme"],
        client=whose(told["client"]),
        claimed=told_by_whose(claimed),
        url_for=told["url_for"],
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
        do = "No container has that address any more: start the application, or let the proxy look its name up anew."
    seen = f"{url} was answered by the proxy itself, with status {status}: it did not reach the application ({words})."
    return LabError(seen, do)
