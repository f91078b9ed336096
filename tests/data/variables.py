"""A variable of each kind."""

from __future__ import annotations

from lowerbound.data.spec import Variable

VARIABLES = {
    "binary": Variable("x", "binary", (4,), 0, 1, levels=2),
    "byte": Variable("x", "byte", (2, 2), 0, 255, levels=256),
    "unit": Variable("x", "unit", (4,), 0, 1),
    "real": Variable("x", "real", (2,), -3, 5, mean=(1.0, 2.0), std=(2.0, 0.5)),
    "count": Variable("x", "count", (4,), 0, 30),
    "category": Variable("x", "category", (4,), 0, 5, levels=6),
}
