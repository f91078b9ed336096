"""Mixtures as JSON and tensors, and back: a tree of classes in `lowerbound.mixtures`, and nothing that can be run."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, final

import safetensors.torch
import torch
from torch import Tensor

from lowerbound.errors import InputError

HOME = re.compile(r"lowerbound\.mixtures(\.\w+)+:\w+")
"""Where the classes are whose values are kept, as module:name."""


class Packed(NamedTuple):
    """A value in two parts: how its parts lie in each other, as JSON, and its tensors, as safetensors."""

    form: str
    tensors: bytes


def packed(value: object) -> Packed:
    """A mixture, or what fitting makes on its way to one.

    >>> from lowerbound.mixtures.weights import Proportions
    >>> unpacked(packed(Proportions.even(1, 2))).mean
    tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    tensors: dict[str, Tensor] = {}
    form = json.dumps(_taken_apart(value, tensors))
    return Packed(form, safetensors.torch.save({name: each.cpu().clone() for name, each in tensors.items()}))


def unpacked(kept: Packed, device: torch.device | str = "cpu") -> Any:
    """What was packed, its tensors on the device.

    Raises:
        InputError: it is cut short, or was not packed by `packed`.
    """
    try:
        tensors = safetensors.torch.load(kept.tensors)
        return _put_together(json.loads(kept.form), {name: each.to(device) for name, each in tensors.items()})
    except (safetensors.SafetensorError, ValueError, TypeError, LookupError, AttributeError, ImportError) as error:
        raise InputError(f"this is no mixture that lowerbound packed, or not a whole one: {error}") from error


def _taken_apart(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value in plain ones; its tensors are put among those by name."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.contiguous()
        return {"tensor": name}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _taken_apart(getattr(value, field.name), tensors) for field in fields(value)}
        return {"class": f"{type(value).__module__}:{type(value).__qualname__}", "fields": parts}
    if isinstance(value, Mapping):
        return {"mapping": {name: _taken_apart(each, tensors) for name, each in value.items()}}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_taken_apart(each, tensors) for each in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be kept")


def _put_together(form: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(form, dict):
        return form
    (what, found), *rest = form.items()
    if what == "class":
        parts = {name: _put_together(each, tensors) for name, each in dict(rest)["fields"].items()}
        return _class(found)(**parts)
    return _FORMS[what](found, tensors)


def _class(home: str) -> type:
    """The class of this name, if it is one whose values are kept."""
    if not HOME.fullmatch(home):
        raise ValueError(f"{home!r} is no class of lowerbound's mixtures")
    module, _, name = home.partition(":")
    found = getattr(importlib.import_module(module), name)
    if not (isinstance(found, type) and is_dataclass(found)):
        raise TypeError(f"{home!r} is no class whose values are kept")
    return found


_FORMS: dict[str, Callable[[Any, Mapping[str, Tensor]], Any]] = {
    "tensor": lambda name, tensors: tensors[name],
    "mapping": lambda found, tensors: {name: _put_together(each, tensors) for name, each in found.items()},
    "tuple": lambda found, tensors: tuple(_put_together(each, tensors) for each in found),
    "list": lambda found, tensors: [_put_together(each, tensors) for each in found],
}


@final
class Kept:
    """A value that is pickled as JSON and safetensors.

    >>> import copy
    >>> copy.deepcopy(Kept((torch.ones(2), 1.5))).value
    (tensor([1., 1.]), 1.5)
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __getstate__(self) -> dict[str, Any]:
        return packed(self.value)._asdict()

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.value = unpacked(Packed(**state))
