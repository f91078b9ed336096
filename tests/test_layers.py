"""Imports go one way: a module may use its own layer's neighbours and the layers below, never one above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "lowerbound"

# From the bottom up; what stands in one row may not import each other, but for parts of one package.
LAYERS = (
    {"errors"},
    {"arguments", "files", "randomness", "distributed", "precision"},
    {"core", "nets"},
    {"data"},
    {"mixtures"},
    {"recipes"},
    {"run"},
    {"training", "evaluation"},
    {"fitted", "plots"},
    {"fitting", "report", "doctor"},
    {"sklearn", "robots"},
    {"cli"},
)
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or not path.stem.startswith("__"))


def part(path: Path) -> str:
    """The package, or the lone module, that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def used(path: Path) -> set[str]:
    """The parts of lowerbound that a file imports, wherever in it."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            deeper = node.module == "lowerbound"
            modules += [f"lowerbound.{alias.name}" for alias in node.names] if deeper else [node.module]
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    return {module.split(".")[1] for module in modules if module.startswith("lowerbound.")} & HEIGHT.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    mine = part(path)
    above = {each for each in used(path) - {mine} if HEIGHT[each] >= HEIGHT[mine]}
    assert not above, f"{path.relative_to(SOURCE)} imports upwards: {sorted(above)}"


def test_every_part_has_its_place() -> None:
    assert {part(path) for path in MODULES} == HEIGHT.keys()
