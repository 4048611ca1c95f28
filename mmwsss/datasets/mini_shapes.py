"""Objects of the embedded mini data set as coloured polygons.

An object is a list of parts ``(polygon, colour)`` in drawing order, in local coordinates: x to
the right, y down, long side about [-1, 1]. Colours are RGB in [0, 255].
"""

import colorsys
from collections.abc import Callable

import numpy as np

Colour = tuple[float, float, float]
Part = tuple[np.ndarray, Colour]
Generator = np.random.Generator

_CIRCLE = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 20)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 20)[:-1])], 1
)


def poly(*points: float) -> np.ndarray:
    """Polygon ``(n, 2)`` from x0, y0, x1, y1, ..."""
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def rect(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Axis-parallel rectangle as a polygon ``(4, 2)``."""
    return poly(x0, y0, x1, y0, x1, y1, x0, y1)


def ellipse(x: float, y: float, rx: float, ry: float | None = None) -> np.ndarray:
    """Ellipse (a circle without ``ry``) around (x, y) as a polygon ``(n, 2)``."""
    return _CIRCLE * (rx, rx if ry is None else ry) + (x, y)


def hsv(h: float, s: float, v: float) -> Colour:
    """RGB in 0..255 of hue (any real, period 1), saturation and value (clipped to 0..1)."""
    r, g, b = colorsys.hsv_to_rgb(h % 1.0, min(max(s, 0.0), 1.0), min(max(v, 0.0), 1.0))
    return 255 * r, 255 * g, 255 * b


def near(rng: Generator, *choices: Colour) -> Colour:
    """One of the RGB colours with a little variation."""
    colour = np.array(choices[rng.integers(len(choices))]) + rng.uniform(-18, 18, 3)
    return tuple(np.clip(colour, 0, 255))


def darker(colour: Colour, factor: float) -> Colour:
    """The colour times ``factor``."""
    return tuple(factor * c for c in colour)


def _boat(rng: Generator) -> list[Part]:
    hull = near(rng, (185, 45, 40), (35, 60, 140), (95, 60, 40))
    sail = near(rng, (245, 245, 240), (250, 220, 120), (240, 150, 60))
    top = rng.uniform(-0.95, -0.75)
    return [
        (rect(-0.06, top, 0.04, 0.4), near(rng, (90, 60, 40))),
        (poly(0.08, top + 0.1, 0.8, 0.28, 0.08, 0.28), sail),
        (poly(-0.1, top + 0.25, -0.62, 0.28, -0.1, 0.28), darker(sail, 0.85)),
        (poly(-0.95, 0.38, 0.95, 0.38, 0.6, 0.85, -0.6, 0.85), hull),
        (poly(-0.95, 0.38, 0.95, 0.38, 0.87, 0.52, -0.87, 0.52), near(rng, (245, 245, 245))),
        (poly(-0.01, top - 0.12, 0.3, top - 0.02, -0.01, top + 0.1), near(rng, (220, 40, 40))),
    ]


def _car(rng: Generator) -> list[Part]:
    body = near(rng, (215, 35, 45), (40, 150, 150), (235, 200, 50))
    glass = near(rng, (170, 210, 235), (60, 75, 90))
    parts = [
        (poly(-0.55, -0.02, -0.35, -0.5, 0.3, -0.5, 0.58, -0.02), darker(body, 0.8)),
        (poly(-0.43, -0.04, -0.28, -0.4, -0.05, -0.4, -0.05, -0.04), glass),
        (poly(0.03, -0.04, 0.03, -0.4, 0.25, -0.4, 0.45, -0.04), glass),
        (poly(-0.95, 0.05, -0.8, -0.05, 0.8, -0.05, 0.97, 0.12, 0.97, 0.38, -0.95, 0.38), body),
        (rect(0.82, 0.05, 0.97, 0.2), near(rng, (255, 235, 130))),
        (rect(-0.95, 0.06, -0.84, 0.2), near(rng, (215, 30, 30))),
    ]
    for x in (-0.52, 0.52):
        parts.append((ellipse(x, 0.38, 0.24), near(rng, (30, 30, 32))))
        parts.append((ellipse(x, 0.38, 0.1), near(rng, (190, 190, 195))))
    return parts


def _tree(rng: Generator) -> list[Part]:
    leaf = hsv(rng.choice((0.33, 0.38, 0.28, 0.08)), rng.uniform(0.6, 0.9), rng.uniform(0.3, 0.6))
    parts = [
        (poly(-0.12, 0.0, 0.12, 0.0, 0.18, 0.97, -0.18, 0.97), near(rng, (105, 70, 40))),
        (ellipse(-0.36, -0.12, 0.4), darker(leaf, 0.8)),
        (ellipse(0.36, -0.12, 0.4), darker(leaf, 0.9)),
        (ellipse(0.0, -0.5, 0.45), leaf),
    ]
    fruit = near(rng, (220, 40, 40), (250, 180, 40))
    for _ in range(int(rng.integers(3, 6))):
        parts.append((ellipse(rng.uniform(-0.5, 0.5), rng.uniform(-0.7, 0.05), 0.08), fruit))
    return parts


def _house(rng: Generator) -> list[Part]:
    wall = near(rng, (225, 205, 165), (190, 95, 70), (150, 170, 200), (235, 225, 120))
    roof = near(rng, (150, 45, 40), (75, 75, 85), (95, 60, 40))
    glass = near(rng, (150, 205, 240), (255, 235, 140))
    return [
        (rect(0.35, -0.85, 0.55, -0.3), near(rng, (130, 60, 50))),
        (rect(-0.72, -0.15, 0.72, 0.85), wall),
        (poly(-0.95, -0.1, 0.0, -0.9, 0.95, -0.1), roof),
        (rect(-0.16, 0.3, 0.16, 0.85), near(rng, (85, 55, 35), (40, 90, 60))),
        (rect(-0.58, 0.08, -0.28, 0.42), glass),
        (rect(0.28, 0.08, 0.58, 0.42), glass),
    ]


def _bird(rng: Generator) -> list[Part]:
    body = near(rng, (50, 100, 215), (245, 205, 60), (200, 70, 60))
    lift = rng.uniform(-0.75, 0.5)
    return [
        (poly(-0.45, 0.0, -0.97, -0.25, -0.9, 0.2), darker(body, 0.55)),
        (ellipse(0.0, 0.05, 0.58, 0.32), body),
        (ellipse(0.1, 0.2, 0.38, 0.16), near(rng, (245, 240, 225))),
        (ellipse(0.5, -0.22, 0.25), body),
        (poly(0.7, -0.3, 0.98, -0.17, 0.7, -0.08), near(rng, (250, 150, 30))),
        (ellipse(0.56, -0.28, 0.07), near(rng, (20, 20, 20))),
        (poly(-0.3, -0.02, 0.2, -0.02, -0.3, lift), darker(body, 0.6)),
        (rect(-0.05, 0.33, 0.02, 0.6), near(rng, (240, 140, 40))),
        (rect(0.15, 0.33, 0.22, 0.6), near(rng, (240, 140, 40))),
    ]


def _fish(rng: Generator) -> list[Part]:
    body = near(rng, (245, 130, 40), (150, 70, 190), (60, 190, 160))
    stripe = near(rng, (250, 250, 245), (40, 40, 50))
    parts = [
        (poly(-0.45, 0.0, -0.97, -0.45, -0.85, 0.0, -0.97, 0.45), darker(body, 0.65)),
        (poly(-0.25, -0.25, 0.3, -0.35, -0.05, -0.68), darker(body, 0.7)),
        (poly(-0.1, 0.3, 0.25, 0.3, 0.0, 0.62), darker(body, 0.7)),
        (ellipse(0.1, 0.0, 0.7, 0.42), body),
        (ellipse(-0.02, 0.0, 0.08, 0.4), stripe),
        (ellipse(0.28, 0.0, 0.07, 0.38), stripe),
        (ellipse(0.58, -0.12, 0.11), near(rng, (250, 250, 250))),
        (ellipse(0.6, -0.12, 0.06), near(rng, (15, 15, 15))),
    ]
    return parts


def _cow(rng: Generator) -> list[Part]:
    hide = near(rng, (240, 235, 230), (225, 205, 180))
    spot = near(rng, (35, 30, 30), (130, 75, 40))
    parts = [(rect(x, 0.2, x + 0.14, 0.85), hide) for x in (-0.68, -0.4, 0.12, 0.38)]
    parts += [(rect(x, 0.72, x + 0.14, 0.88), near(rng, (50, 40, 35))) for x in (-0.68, 0.38)]
    parts += [
        (ellipse(-0.3, 0.38, 0.15, 0.13), near(rng, (240, 160, 165))),
        (poly(-0.75, -0.35, 0.5, -0.35, 0.58, 0.35, -0.75, 0.32), hide),
        (ellipse(-0.48, -0.05, 0.22, 0.2), spot),
        (ellipse(0.1, 0.02, 0.25, 0.24), spot),
        (rect(-0.86, -0.33, -0.75, 0.3), spot),
        (poly(0.42, -0.6, 0.82, -0.6, 0.95, -0.05, 0.6, 0.05), spot),
        (ellipse(0.82, -0.08, 0.17, 0.15), near(rng, (240, 175, 170))),
        (poly(0.42, -0.55, 0.36, -0.88, 0.55, -0.6), near(rng, (235, 225, 190))),
        (poly(0.68, -0.6, 0.85, -0.9, 0.82, -0.58), near(rng, (235, 225, 190))),
    ]
    return parts


def _plane(rng: Generator) -> list[Part]:
    hull = near(rng, (240, 240, 245), (190, 195, 205), (245, 225, 150))
    mark = near(rng, (215, 40, 50), (40, 70, 190))
    parts = [
        (poly(-0.7, -0.05, -0.97, -0.6, -0.72, -0.6, -0.4, -0.05), mark),
        (poly(-0.05, -0.08, -0.3, -0.55, -0.12, -0.55, 0.3, -0.08), darker(hull, 0.7)),
        (poly(-0.95, -0.12, 0.65, -0.18, 0.97, 0.05, 0.65, 0.2, -0.6, 0.18), hull),
        (poly(-0.9, 0.03, 0.9, 0.03, 0.86, 0.1, -0.75, 0.1), mark),
        (poly(-0.1, 0.08, -0.5, 0.68, -0.28, 0.68, 0.32, 0.08), darker(hull, 0.62)),
        (ellipse(-0.08, 0.42, 0.16, 0.09), near(rng, (70, 70, 80))),
        (poly(0.68, -0.16, 0.86, -0.02, 0.66, -0.02), near(rng, (40, 60, 90))),
    ]
    for x in (-0.4, -0.15, 0.1, 0.35):
        parts.append((rect(x, -0.11, x + 0.1, -0.02), near(rng, (60, 90, 130))))
    return parts


def _person(rng: Generator) -> list[Part]:
    skin = near(rng, (240, 200, 170), (200, 150, 110), (125, 85, 60))
    shirt = near(rng, (220, 60, 130), (60, 150, 60), (240, 240, 235))
    trousers = near(rng, (40, 50, 110), (60, 60, 60), (120, 90, 60))
    swing = rng.uniform(0.0, 0.28)
    return [
        (poly(-0.25, 0.1, 0.0, 0.1, -0.05 - swing, 0.92, -0.25 - swing, 0.92), trousers),
        (poly(0.0, 0.1, 0.25, 0.1, 0.25 + swing, 0.92, 0.05 + swing, 0.92), trousers),
        (poly(-0.28, -0.4, -0.28, -0.18, -0.55, 0.12, -0.66, 0.02), skin),
        (poly(0.28, -0.4, 0.28, -0.18, 0.55, 0.12, 0.66, 0.02), skin),
        (poly(-0.32, -0.45, 0.32, -0.45, 0.27, 0.16, -0.27, 0.16), shirt),
        (ellipse(0.0, -0.72, 0.23, 0.25), near(rng, (50, 35, 25), (200, 160, 70), (25, 25, 25))),
        (ellipse(0.03, -0.66, 0.18, 0.2), skin),
        (rect(-0.3 - swing, 0.86, 0.0 - swing, 0.97), near(rng, (30, 30, 30), (200, 40, 40))),
        (rect(0.05 + swing, 0.86, 0.35 + swing, 0.97), near(rng, (30, 30, 30), (200, 40, 40))),
    ]


def _cat(rng: Generator) -> list[Part]:
    fur = near(rng, (235, 150, 60), (125, 125, 130), (60, 55, 55), (240, 225, 200))
    stripe = darker(fur, 0.55)
    parts = [
        (poly(-0.6, 0.5, -0.97, -0.2, -0.8, -0.28, -0.4, 0.4), stripe),
        (ellipse(-0.12, 0.4, 0.55, 0.42), fur),
        (ellipse(-0.35, 0.36, 0.06, 0.34), stripe),
        (ellipse(-0.12, 0.38, 0.06, 0.38), stripe),
        (rect(0.15, 0.4, 0.42, 0.88), fur),
        (poly(0.02, -0.3, 0.0, -0.85, 0.35, -0.5), stripe),
        (poly(0.72, -0.3, 0.75, -0.85, 0.4, -0.5), stripe),
        (ellipse(0.37, -0.22, 0.42, 0.36), fur),
        (ellipse(0.22, -0.28, 0.1, 0.1), near(rng, (150, 220, 90))),
        (ellipse(0.54, -0.28, 0.1, 0.1), near(rng, (150, 220, 90))),
        (ellipse(0.22, -0.28, 0.04, 0.09), (15, 15, 15)),
        (ellipse(0.54, -0.28, 0.04, 0.09), (15, 15, 15)),
        (ellipse(0.38, -0.06, 0.14, 0.1), near(rng, (250, 235, 230))),
        (ellipse(0.38, -0.1, 0.07, 0.05), near(rng, (240, 120, 140))),
    ]
    return parts


SHAPES: dict[str, Callable[[Generator], list[Part]]] = {
    'boat': _boat,
    'car': _car,
    'tree': _tree,
    'house': _house,
    'bird': _bird,
    'fish': _fish,
    'cow': _cow,
    'plane': _plane,
    'person': _person,
    'cat': _cat,
}
# Largest rotation in degrees; 8 for what stands on the ground.
TURN = {'bird': 25, 'fish': 30, 'plane': 30}
