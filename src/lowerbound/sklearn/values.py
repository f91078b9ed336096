"""Mixtures on their way through a stream as JSON and safetensors, of which nothing can be run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, final

import safetensors.torch

from lowerbound.errors import InputError
from lowerbound.mixtures.kept import Parts, apart, checked, together
from lowerbound.mixtures.stepwise import Stepwise


class Packed(NamedTuple):
    """How the parts of a value lie in each other, as JSON, and its tensors, as safetensors."""

    form: str
    tensors: bytes


def packed(value: Stepwise) -> Packed:
    """A mixture with all that its next step depends on, in two parts; see `mixtures.kept`."""
    form, tensors = apart(value)
    plain = {name: each.detach().cpu().contiguous().clone() for name, each in tensors.items()}
    return Packed(json.dumps(form), safetensors.torch.save(plain))


def unpacked(kept: Packed) -> Stepwise:
    """What was packed, in the host's memory.

    Raises:
        InputError: it is cut short, or was not packed by `packed`.
    """
    try:
        parts = Parts(json.loads(kept.form), safetensors.torch.load(kept.tensors))
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise InputError(f"what was kept is no whole mixture: {error}") from None
    found = together(parts, Stepwise)
    checked(found.mixture)
    return found


@final
class Kept:
    """A value that is pickled as JSON and safetensors."""

    def __init__(self, value: Stepwise) -> None:
        self.value = value

    def __getstate__(self) -> dict[str, Any]:
        return packed(self.value)._asdict()

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.value = unpacked(Packed(**state))
