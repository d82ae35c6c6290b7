"""The colours of the picture and the page, on paper and on a dark screen."""

from __future__ import annotations

from typing import Final

__all__ = ["DARK", "LIGHT", "NAMES"]

NAMES: Final = ("paper", "ink", "faint", "rule", "cached", "uncached", "tint")
"""What each colour is for, in the order of the two palettes."""

LIGHT: Final = ("#fdfdfc", "#20242c", "#5a6170", "#d5d8de", "#0b62a8", "#a9afba", "#eef4fa")
"""Blue and grey: told apart without seeing colours, and when printed in greys."""

DARK: Final = ("#14171c", "#e8eaee", "#a3abb9", "#343a45", "#5cabf0", "#5d6471", "#1a2533")
