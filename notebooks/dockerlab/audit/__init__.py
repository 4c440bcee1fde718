"""`dockerlab audit`: the lessons' experiments, run on the reader's own project."""

from .auditor import CHECK_IDS, audit
from .project import Project

__all__ = ["CHECK_IDS", "Project", "audit"]
