"""The probe that an audit puts into containers. Its code is read as text, never imported here: it is for the guest."""

from pathlib import Path

SOURCE = Path(__file__).with_name("sitecustomize.py")
PREFIX = "/__dockerlab/"
STARTED = "dockerlab probe: lifespan startup"
ENDED = "dockerlab probe: lifespan shutdown"
"""As in the probe's own code, which a test compares."""
