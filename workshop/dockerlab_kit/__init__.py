"""The offline kit, for a workshop: `making` writes one, `sharing` serves it to a room."""
