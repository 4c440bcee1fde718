"""The offline kit: one folder with all that the lab fetches, for a machine or a room that has no network.

`making` writes one, `use` finds and checks it, `sharing` serves it to a room, and `portable` is what both sides share.
"""

from .use import Kit, KitRefused, find, is_tag

__all__ = ["Kit", "KitRefused", "find", "is_tag"]
