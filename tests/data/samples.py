"""What several tests of data need: a variable of each kind, and a Dataset over a list."""

from __future__ import annotations

from typing import Any

from lowerbound.data.spec import Variable

VARIABLES = {
    "binary": Variable("x", "binary", (4,), 0, 1, levels=2),
    "byte": Variable("x", "byte", (2, 2), 0, 255, levels=256),
    "unit": Variable("x", "unit", (4,), 0, 1),
    "real": Variable("x", "real", (2,), -3, 5, mean=(1.0, 2.0), std=(2.0, 0.5)),
    "count": Variable("x", "count", (4,), 0, 30),
    "category": Variable("x", "category", (4,), 0, 5, levels=6),
}


class MapStyle:
    """A map-style Dataset over the items given."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        return self.items[row]
