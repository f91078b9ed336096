"""Named tensors in files: safetensors written whole or not at all, looked into before they are read; and digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lowerbound.errors import InputError
from lowerbound.files import replacing

_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors atomically; return the file's digest."""
    with replacing(path) as scratch:
        safetensors.torch.save_file({name: _own(tensor) for name, tensor in tensors.items()}, scratch)
        return file_digest(scratch)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors onto the host; `InputError` if the file is truncated or of another format."""
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from error


def outline_of_file(path: Path) -> dict[str, str]:
    """Return type and shape of each tensor in a file, reading its header alone."""
    try:
        with safe_open(path, framework="numpy") as stream:
            slices = {name: stream.get_slice(name) for name in stream.keys()}  # noqa: SIM118 - it is no dict
            return {name: _say(_NAMES.get(s.get_dtype(), "?"), s.get_shape()) for name, s in slices.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from error


def outline_of(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return type and shape of each tensor, in the words of `outline_of_file`.

    Example:
        >>> import torch
        >>> outline_of({"weight": torch.zeros(2, 3)})
        {'weight': 'float32 [2, 3]'}
    """
    return {name: _say(str(value.dtype).removeprefix("torch."), value.shape) for name, value in tensors.items()}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_digest(content: object) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys.

    Example:
        >>> json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})
        True
    """
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _say(dtype: str, shape: object) -> str:
    return f"{dtype} {list(shape)}"  # type: ignore[call-overload]


def _own(tensor: Tensor) -> Tensor:
    """Return a copy on the host that shares memory with no other: safetensors refuses shared memory."""
    return tensor.detach().to("cpu", copy=True).contiguous()
