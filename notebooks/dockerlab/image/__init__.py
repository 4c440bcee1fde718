"""What an image holds: its layers, its files, secrets that it leaks."""

from .contents import content, first_answer, leaks

__all__ = ["content", "first_answer", "leaks"]
