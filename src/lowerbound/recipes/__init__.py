"""The zoo: named, typed, documented functions from a data spec to a model and how to fit it."""

from lowerbound.recipes.registry import Parameter, Recipe, Setup, get, names, recipe

__all__ = ["Parameter", "Recipe", "Setup", "get", "names", "recipe"]
