"""A lab for the time of a measurement."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from unittest import mock

from dockerlab import open_lab
from dockerlab.lab.lab import Lab


@contextlib.contextmanager
def opened(name: str) -> Iterator[Lab]:
    """An open lab, closed at the end. Its workspace is empty, and the working folder meanwhile."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),  # opening a lab changes the folder; this changes it back
        mock.patch.dict(os.environ, DOCKERLAB_WORKSPACE=folder),
    ):
        lab = open_lab(name)
        try:
            yield lab
        finally:
            lab.close()
