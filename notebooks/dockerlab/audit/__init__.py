"""`dockerlab audit`: the lessons' experiments, carried out on the reader's own project."""

from .auditor import CHECK_IDS, audit
from .project import Project

__all__ = ["CHECK_IDS", "Project", "audit"]
