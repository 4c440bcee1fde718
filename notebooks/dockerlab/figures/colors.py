"""Ink on a light card, the same in every theme.

Okabe and Ito's colours differ for colour-blind readers, too; still, no figure tells anything by colour alone.
"""

CARD = "#fbfbfc"
EDGE = "#d5d8de"
INK = "#1f2328"
MUTED = "#667080"
BLUE = "#0072b2"
ORANGE = "#e69f00"
GREEN = "#009e73"
RED = "#d55e00"
