"""Ink on a soft grey card, the same in every theme: it does not glare in a dark one.

The hues are Okabe and Ito's, which differ for color-blind readers, too. They are darker than theirs, to stand out from
the card. Still, no figure tells anything by color alone.
"""

CARD = "#e3e6ea"
PAPER = "#f1f3f5"
"""Of what lies on the card and has a text of its own."""
TINT = "#ddeaf4"
"""Of such a thing that is to stand out from the others."""
GROUNDS = (CARD, PAPER, TINT)

EDGE = "#bfc4cc"
"""Lines that guide the eye. Nothing is told by them."""
INK = "#1f2328"
MUTED = "#525b68"

GRAY = "#6f7885"
BLUE = "#0072b2"
ORANGE = "#ad7000"
GREEN = "#006f55"
RED = "#ad4100"
PURPLE = "#99457b"
SKY = "#1c80bd"
OLIVE = "#7c7400"
TEXTS = (INK, MUTED, GREEN, RED)
SHAPES = (GRAY, BLUE, ORANGE, GREEN, RED, PURPLE, SKY, OLIVE)
