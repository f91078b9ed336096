"""Values from a file or a command line against type hints: taken if they conform, refused with a sentence if not."""

from __future__ import annotations

import math
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lowerbound.errors import InputError

UNBOUNDED = (-math.inf, math.inf)

# Hints that carry their limits, both ends allowed.
LARGEST_WHOLE = 2.0**62
Count = Annotated[int, (1, LARGEST_WHOLE)]
NonNegativeInt = Annotated[int, (0, LARGEST_WHOLE)]
NonNegative = Annotated[float, (0.0, math.inf)]


def conformed(what: str, value: object, hint: Any, limits: tuple[float, float] = UNBOUNDED) -> Any:
    """The value as the hint has it: a list becomes a tuple, a whole number a float where one is asked for.

    Hints: int, float, bool, str, None, Literal, tuple[T, ...], unions of them, and `Annotated[number, (low, high)]`.
    Numbers must lie within `limits`, both ends allowed, and be finite.

    Raises:
        InputError: naming `what`, what was wanted and what came.

    >>> conformed("hidden", [200, 100], tuple[int, ...])
    (200, 100)
    >>> conformed("epochs", 0, int, (1, math.inf))
    Traceback (most recent call last):
    ...
    lowerbound.errors.InputError: epochs must be a whole number of at least 1, not 0
    """
    for kind in alternatives(hint):
        if conforms(value, kind, limits):
            return _converted(value, kind)
    wanted = " or ".join(described(kind, limits) for kind in alternatives(hint))
    raise InputError(f"{what} must be {wanted}, not {value!r}")


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union; a tuple of one for any other hint."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def conforms(value: object, kind: Any, limits: tuple[float, float] = UNBOUNDED) -> bool:
    """Whether a value is of one kind and within the limits; True is no number."""
    if get_origin(kind) is Annotated:
        return conforms(value, kind.__origin__, kind.__metadata__[0])
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, list | tuple) and all(conforms(each, get_args(kind)[0], limits) for each in value)
    if kind in (int, float):
        return _is_number(value, kind) and limits[0] <= value <= limits[1]  # type: ignore[operator]
    return type(value) is (NoneType if kind is None else kind)


def described(kind: Any, limits: tuple[float, float] = UNBOUNDED) -> str:
    """The kind in words."""
    if get_origin(kind) is Annotated:
        return described(kind.__origin__, kind.__metadata__[0])
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"a list, each {described(get_args(kind)[0], limits)}"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _range(*limits)
    return {bool: "true or false", str: "text"}.get(kind, "null")


def _is_number(value: object, kind: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or (kind is float and math.isfinite(value))


def _range(low: float, high: float) -> str:
    lower = f" of at least {low:g}" if low > -math.inf else ""
    upper = f" and at most {high:g}" if high < 1e5 else ""
    return lower + upper


def _converted(value: Any, kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _converted(value, kind.__origin__)
    if get_origin(kind) is tuple:
        return tuple(_converted(each, get_args(kind)[0]) for each in value)
    return float(value) if kind is float else value
