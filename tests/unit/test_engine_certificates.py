"""Which authorities a machine trusts beyond the public ones."""

import pytest
from dockerlab.engine import certificates
from some_authority import AUTHORITY


@pytest.fixture
def public(tmp_path):
    bundle = tmp_path / "public.pem"
    bundle.write_text("")
    return bundle


def test_a_machine_with_none(tmp_path, public):
    assert certificates.added(tmp_path / "missing", {}, public) == ()


def test_the_machine_s_own_store(tmp_path, public):
    store = tmp_path / "store"
    (store / "company").mkdir(parents=True)
    (store / "company" / "one.crt").write_text(f"a comment\n{AUTHORITY}")
    (store / "readme.txt").write_text(AUTHORITY)
    assert certificates.added(store, {}, public) == (AUTHORITY,)


@pytest.mark.parametrize("variable", certificates.VARIABLES)
def test_a_bundle_that_a_variable_names(tmp_path, public, variable):
    bundle = tmp_path / "mine.pem"
    bundle.write_text(AUTHORITY + AUTHORITY)
    assert certificates.added(tmp_path / "missing", {variable: str(bundle)}, public) == (AUTHORITY,)
    assert certificates.added(tmp_path / "missing", {variable: str(tmp_path / "gone.pem")}, public) == ()


def test_public_authorities_are_not_added(tmp_path, public):
    public.write_text(AUTHORITY)
    bundle = tmp_path / "mine.pem"
    bundle.write_text(AUTHORITY)
    assert certificates.added(tmp_path / "missing", {"SSL_CERT_FILE": str(bundle)}, public) == ()


def test_what_is_no_certificate_is_passed_over(tmp_path, public):
    bundle = tmp_path / "mine.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
    assert certificates.added(tmp_path / "missing", {"SSL_CERT_FILE": str(bundle)}, public) == ()


def test_a_digest_does_not_depend_on_the_order():
    assert certificates.digest(["a", "b"]) == certificates.digest(["b", "a"]) != certificates.digest(["a"])
