"""The offline kit, for whoever gives a workshop: `making` writes one, `sharing` serves it to a room."""
