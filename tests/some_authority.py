"""A certificate authority that is no public one, as a company's proxy has it."""

# Made once for the tests: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 36500 …
AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBnTCCAUOgAwIBAgIUITFv6y2He1ZgDPnsUNP1ScqZmJwwCgYIKoZIzj0EAwIw
IzEhMB8GA1UEAwwYRG9ja2VybGFiIHRlc3QgYXV0aG9yaXR5MCAXDTI2MTEyNDEx
MDcyNFoYDzIxMjYxMDMxMTEwNzI0WjAjMSEwHwYDVQQDDBhEb2NrZXJsYWIgdGVz
dCBhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASW1ngSl/nK1p8L
NMjn2k9fMG4lXzt+/YTwpQVRMgkKJcm5oY8QcQzWAKZd1+c/c7KEquR4cHfkZddh
mRM5Qnydo1MwUTAdBgNVHQ4EFgQUL/CPUS7RRJO+NmsFfAY93ntuAqswHwYDVR0j
BBgwFoAUL/CPUS7RRJO+NmsFfAY93ntuAqswDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNIADBFAiB+qrv7QtKW5c3dlhmGwOtGbvBFGL57f6qO/B/VwhIq2gIh
AMAQ/0rp/tEixotQQ34w7IN9sL4Z1MW9sPUM3atEc5/D
-----END CERTIFICATE-----
"""
