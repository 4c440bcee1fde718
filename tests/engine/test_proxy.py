"""Applications behind a real Nginx that ends real TLS: what they make of it, and what is said where it goes wrong."""

import datetime
import ipaddress
from pathlib import Path

import httpx
import pytest
import trustme
from dockerlab import labels, open_lab
from dockerlab.build.builder import build
from dockerlab.deploy.networks import address, network, subnet
from dockerlab.deploy.nginx import SITES, Proxy, tls_proxy
from dockerlab.deploy.proxy import FORGED, ask, serve_behind
from dockerlab.errors import CertificateRefused, LabError
from dockerlab.run.container_files import archive, copy_into
from dockerlab.run.stop import Variant
from lesson_files import SAMPLE_APP, lay_out

HOST = "shop.example"
RUN = ["fastapi", "run", "app/main.py", "--port", "80"]
TRUSTING = [*RUN, "--forwarded-allow-ips", "*"]
SITE = SAMPLE_APP / "proxy" / "nginx.conf"


@pytest.fixture(scope="module")
def module_lab(tmp_path_factory):
    """A lab that stays open from test to test, in a folder with the files that lesson 06 writes."""
    folder = tmp_path_factory.mktemp("lesson")
    lay_out("06_tls_proxy", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path_factory.mktemp("workspace")))
        patch.chdir(folder)
        lab = open_lab("test-proxy")
    yield lab, folder
    assert not lab.close().left


@pytest.fixture(scope="module")
def images(module_lab):
    """The application and the proxy of lesson 06."""
    lab, folder = module_lab
    return {
        "app": build(lab, folder / "project", name="app", progress=False),
        "proxy": build(lab, folder / "project" / "proxy", name="proxy", progress=False),
    }


@pytest.fixture(scope="module")
def finished(module_lab, images):
    """The application behind the site of the sample app, as lesson 06 leaves it."""
    lab, _ = module_lab
    with (
        tls_proxy(lab, images["proxy"], [SITE], hosts=[HOST, "bad.example"]) as proxy,
        serve_behind(lab, proxy.apps, {"app": Variant(images["app"], TRUSTING)}) as running,
    ):
        yield proxy, running["app"].container


@pytest.fixture(autouse=True)
def nothing_is_left(lab):
    """Whatever happens in a test, neither container nor network of its own lab is there in the end."""
    yield
    filters = {"label": f"{labels.LAB}={lab.id}"}
    assert lab.client.containers.list(all=True, filters=filters) == []
    assert lab.client.networks.list(filters=filters) == []


def site(folder: Path, name: str, upstream: str, *lines: str, host: str = HOST) -> Path:
    """A site for one host. `upstream` is what `proxy_pass` gets."""
    text = "\n".join(
        [
            "resolver 127.0.0.11 valid=1s ipv6=off;" if "$" in upstream else "",
            "server {",
            "listen 443 ssl;",
            f"server_name {host};",
            "ssl_certificate /etc/nginx/certs/server.pem;",
            "ssl_certificate_key /etc/nginx/certs/server.key;",
            "set $app http://app;",
            *lines,
            f"location / {{ proxy_pass {upstream}; proxy_set_header Host $http_host; }}",
            "}",
        ]
    )
    path = folder / name
    path.write_text(text)
    return path


# --- the finished site ---


def test_the_sample_site_tells_the_application_all_it_needs_and_nothing_that_the_client_claims(finished):
    proxy, _ = finished
    for headers in ({}, {"X-Forwarded-For": FORGED, "X-Forwarded-Proto": "http"}):
        seen = ask(proxy, f"{HOST}:8443", headers=headers)
        assert (seen.scheme, seen.client) == ("https", "the client")
        assert seen.location == seen.url_for == f"https://{HOST}:8443/items/"
        assert seen.passed["x-forwarded-for"] == "the client"
        assert seen.docs_server == ""


def test_only_the_proxy_publishes_a_port_and_on_this_machine_only(finished):
    proxy, application = finished
    published = proxy.container.attrs["NetworkSettings"]["Ports"]
    assert [binding["HostIp"] for binding in published["443/tcp"]] == ["127.0.0.1"]
    application.reload()
    assert not any(application.attrs["NetworkSettings"]["Ports"].values())
    assert list(application.attrs["NetworkSettings"]["Networks"]) == [proxy.apps.name]
    assert proxy.apps.attrs["Internal"]
    for item in (proxy.container, application, proxy.web, proxy.apps):
        found = item.attrs.get("Labels") or item.attrs["Config"]["Labels"]
        assert proxy.lab.labels.items() <= found.items()


def test_the_certificate_and_key_are_in_no_image(lab, images):
    entries = lab.client.containers.run(images["proxy"].image, ["ls", "/etc/nginx"], remove=True, labels=lab.labels)
    assert "certs" not in entries.decode().split()


def test_two_proxies_of_one_lab_and_their_networks_do_not_collide(lab, images):
    with (
        tls_proxy(lab, images["proxy"], [SITE], hosts=[HOST], name="one") as one,
        tls_proxy(lab, images["proxy"], [SITE], hosts=[HOST], name="two") as two,
    ):
        networks = [ipaddress.ip_network(subnet(made)) for made in (one.web, one.apps, two.web, two.apps)]
        assert not any(a.overlaps(b) for n, a in enumerate(networks) for b in networks[n + 1 :])
        assert one.port != two.port


# --- certificates: verified, always ---


def refused(lab, images, certificate=None, authority=None, hosts=(HOST,)):
    given = {"certificate": certificate, "authority": authority}
    with (
        tls_proxy(lab, images["proxy"], [SITE], hosts=hosts, **given) as proxy,
        proxy.client() as client,
        pytest.raises(CertificateRefused) as caught,
    ):
        client.get(f"https://{HOST}/seen")
    return str(caught.value)


def test_an_expired_certificate_is_refused_and_the_error_says_so(lab, images):
    authority = trustme.CA()
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    expired = authority.issue_cert(HOST, not_before=yesterday - datetime.timedelta(days=90), not_after=yesterday)
    message = refused(lab, images, expired, authority)
    assert message.startswith(f"The client refused the certificate for {HOST}: certificate has expired.")
    assert "Renew it" in message


def test_a_certificate_for_another_name_is_refused(lab, images):
    message = refused(lab, images, hosts=["other.example"])
    assert HOST in message
    assert "mismatch" in message
    assert "for another name" in message


def test_a_certificate_of_an_unknown_authority_is_refused(finished):
    proxy, _ = finished
    with proxy.client(trustme.CA()) as client, pytest.raises(CertificateRefused) as caught:
        client.get(f"https://{HOST}/seen")
    assert "give it that authority's certificate" in str(caught.value)


def test_a_client_is_not_led_out_of_tls(finished):
    proxy, _ = finished
    with proxy.client() as client, pytest.raises(httpx.ConnectError, match="publishes no port for http"):
        client.get(f"http://{HOST}/seen")


# --- the proxy is up, the application is not ---


def test_with_no_application_behind_it_the_proxy_says_502_and_the_error_says_why(lab, images):
    with tls_proxy(lab, images["proxy"], [SITE], hosts=[HOST]) as proxy:
        with pytest.raises(LabError) as caught:
            ask(proxy, HOST)
        # On a machine with no network, the engine's name server has nobody to ask, and says so.
        seen, reason = caught.value.seen.split(" (", 1)
        assert seen == (
            f"https://{HOST}/seen was answered by the proxy itself, with status 502: it did not reach the application"
        )
        assert reason in {f"app could not be resolved ({why}))." for why in ("3: Host not found", "2: Server failure")}
        assert "start the application there, under this name" in caught.value.do
        # Nothing else is needed: once it is there, it is found.
        with serve_behind(lab, proxy.apps, {"app": Variant(images["app"], TRUSTING)}):
            assert ask(proxy, HOST).scheme == "https"


def test_an_application_on_another_port_is_told_from_one_that_is_not_there(lab, images):
    elsewhere = Variant(images["app"], ["fastapi", "run", "app/main.py", "--port", "8000"])
    with (
        tls_proxy(lab, images["proxy"], [SITE], hosts=[HOST]) as proxy,
        serve_behind(lab, proxy.apps, {"app": elsewhere}),
        pytest.raises(LabError, match="status 502") as caught,
    ):
        ask(proxy, HOST)
    assert "nothing in it listens on that port" in caught.value.do


def test_a_name_in_the_configuration_must_exist_when_nginx_starts(lab, images, tmp_path):
    fixed = site(tmp_path, "fixed.conf", "http://app")
    with pytest.raises(LabError, match='host not found in upstream "app"') as caught:
        tls_proxy(lab, images["proxy"], [fixed], hosts=[HOST])
    assert "no such container yet" in caught.value.do


@pytest.mark.prove
def test_a_name_in_one_site_is_fixed_for_all(lab, images, tmp_path):
    """What the lesson says of `proxy_pass http://app` beside a site that looks the same name up."""
    fixed = site(tmp_path, "fixed.conf", "http://app", host="fixed.example")
    with tls_proxy(lab, images["proxy"], [SITE], hosts=[HOST, "fixed.example"]) as proxy:
        with serve_behind(lab, proxy.apps, {"app": Variant(images["app"])}):
            proxy.add(fixed)
        # Somebody takes the address that has become free.
        somebody = lab.client.containers.run(
            lab.base_image, ["sleep", "60"], detach=True, init=True, labels=lab.labels, network=proxy.apps.name
        )
        try:
            with serve_behind(lab, proxy.apps, {"app": Variant(images["app"])}), proxy.client() as client:
                assert client.get(f"https://{HOST}/seen").status_code == 502
                proxy.add(fixed)  # all names are looked up again
                assert client.get(f"https://{HOST}/seen").status_code == 200
        finally:
            somebody.remove(force=True)


# --- bad input ---


def test_a_site_that_nginx_does_not_accept_is_named_and_the_proxy_runs_on(finished, tmp_path):
    proxy, _ = finished
    bad = site(tmp_path, "bad.conf", "$app", "proxy_set_haeder Host $host;", host="bad.example")
    with pytest.raises(LabError, match=r'unknown directive "proxy_set_haeder" in /etc/nginx/conf\.d/bad\.conf:8'):
        proxy.add(bad)
    assert ask(proxy, HOST).scheme == "https"
    fixed = site(tmp_path, "bad.conf", "$app", host="bad.example")
    proxy.add(fixed)
    assert ask(proxy, "bad.example").location.endswith("://bad.example/items/")


def test_a_bad_new_version_of_a_site_leaves_the_good_one(lab, images, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder in (good, bad):
        folder.mkdir()
    site(good, "app.conf", "$app", "location /version { return 200 good; }")
    with tls_proxy(lab, images["proxy"], [good / "app.conf"], hosts=[HOST]) as proxy, proxy.client() as client:
        before = file_in(proxy, "app.conf")
        wrong = site(bad, "app.conf", "$app", "proxy_set_haeder Host $host;")
        new = site(bad, "new.conf", "http://127.0.0.1:9", host="new.example")
        with pytest.raises(LabError, match=r"/etc/nginx/conf\.d/app\.conf:8"):
            proxy.add(wrong, new)
        assert file_in(proxy, "app.conf") == before
        assert file_in(proxy, "new.conf") is None
        proxy.add(site(good, "other.conf", "http://127.0.0.1:9", host="other.example"))  # all sites are read again
        assert client.get(f"https://{HOST}/version").text == "good"


def file_in(proxy: Proxy, name: str) -> bytes | None:
    """A site in a proxy, with its mode and its time, as a tar archive."""
    return archive(proxy.container, SITES / name)


def test_a_site_that_nginx_does_not_accept_at_its_start_is_named_and_nothing_is_left(lab, images, tmp_path):
    bad = site(tmp_path, "bad.conf", "$app", "listen 443 sll;")
    with pytest.raises(LabError, match='invalid parameter "sll"'):
        tls_proxy(lab, images["proxy"], [bad], hosts=[HOST])


def test_a_network_name_that_is_taken_is_said_and_nothing_is_left(lab, images):
    taken = network(lab, "proxy-apps")
    try:
        with pytest.raises(LabError, match=f"a network with the name {lab.name('proxy-apps')} already") as caught:
            tls_proxy(lab, images["proxy"], [SITE], hosts=[HOST])
        assert "docker network rm" in caught.value.do
    finally:
        taken.remove()


def test_an_application_that_crashes_is_named_and_the_others_are_removed(lab, images):
    apps = network(lab, "apps", internal=True)
    variants = {"app": Variant(images["app"]), "broken": Variant(images["app"], ["fastapi", "run", "nowhere.py"])}
    with pytest.raises(LabError, match="'broken' ended"):
        serve_behind(lab, apps, variants)
    apps.remove()  # refused by the engine, were anything still on it


def test_a_proxy_closes_twice_and_takes_neighbors_off_its_networks(lab, images):
    proxy = tls_proxy(lab, images["proxy"], [SITE], hosts=[HOST])
    neighbor = lab.client.containers.run(
        lab.base_image, ["sleep", "60"], detach=True, init=True, labels=lab.labels, network=proxy.apps.name
    )
    try:
        proxy.close()
        proxy.close()
        neighbor.reload()
        assert neighbor.status == "running"
    finally:
        neighbor.remove(force=True)


# --- addresses ---


def test_whoever_comes_by_a_published_port_of_127_0_0_1_comes_from_an_address_of_that_network(finished):
    """Why the CIDR of a network that the proxy is reached by includes more than the proxy."""
    proxy, _ = finished
    with proxy.client() as client:
        client.get(f"https://{HOST}/", headers={"User-Agent": "somebody"})
    client_address = ipaddress.ip_address(proxy.client_address("somebody"))
    assert client_address in ipaddress.ip_network(subnet(proxy.web))
    assert client_address not in ipaddress.ip_network(subnet(proxy.apps))
    assert proxy.addresses == {address(proxy.container, proxy.web), address(proxy.container, proxy.apps)}


def test_files_are_copied_into_a_container_that_does_not_run_yet(lab):
    container = lab.client.containers.create(lab.base_image, ["cat", "/etc/given/a"], labels=lab.labels)
    try:
        copy_into(container, {"/etc/given/a": b"one\n"})
        container.start()
        assert container.wait()["StatusCode"] == 0
        assert container.logs() == b"one\n"
    finally:
        container.remove(force=True)


def test_the_lab_removes_a_proxy_that_was_not_closed(tmp_path, monkeypatch, images):
    monkeypatch.setenv("DOCKERLAB_WORKSPACE", str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path)
    lab = open_lab("test-forgotten")
    tls_proxy(lab, images["proxy"], [SITE], hosts=[HOST])
    assert not lab.close().left
