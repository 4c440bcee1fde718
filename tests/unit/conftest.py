"""What unit tests share."""

import pytest


@pytest.fixture(autouse=True)
def no_kit(monkeypatch):
    """What a test expects of a mirror and a registry does not depend on the kit of whoever runs it."""
    monkeypatch.setenv("DOCKERLAB_KIT", "")
    monkeypatch.setenv("DOCKERLAB_BASE_IMAGE", "")
