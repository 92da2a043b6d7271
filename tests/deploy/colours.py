"""Colours as people see them who lack one kind of cone (Machado et al. 2009), and how far apart they are."""

from __future__ import annotations

Rgb = tuple[float, float, float]
"""Linear, each from 0 to 1."""

WITHOUT: dict[str, tuple[Rgb, Rgb, Rgb]] = {
    "nothing": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""Matrices of the article's severity 1.0, for linear RGB."""

TO_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
WHITE = (0.95047, 1.0, 1.08883)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _times(matrix: tuple[Rgb, Rgb, Rgb], one: Rgb) -> Rgb:
    red, green, blue = (sum(a * b for a, b in zip(row, one, strict=True)) for row in matrix)
    return red, green, blue


def seen_without(lacking: str, colour: str) -> Rgb:
    """A colour `#rrggbb` as somebody sees it who lacks these cones."""
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    first, second, third = (min(1.0, max(0.0, part)) for part in _times(WITHOUT[lacking], (red, green, blue)))
    return first, second, third


def _lab(one: Rgb) -> Rgb:
    parts = [part / white for part, white in zip(_times(TO_XYZ, one), WHITE, strict=True)]
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in parts)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def difference(one: Rgb, other: Rgb) -> float:
    """How different they look (CIE 1976)."""
    return float(sum((a - b) ** 2 for a, b in zip(_lab(one), _lab(other), strict=True)) ** 0.5)
