"""Training state on disk: folders that appear whole or not at all, checked by digest, never a pickle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from torch import Tensor

from lowerbound.errors import InputError
from lowerbound.files import write_json
from lowerbound.run.tensors import file_digest, json_digest, load_tensors, save_tensors

KEPT = 2
"""How many checkpoints stay on disk: the newest, and one more should the disk spoil it."""


@final
@dataclass(frozen=True)
class Checkpoint:
    """What training needs to go on from a step: tensors by name, and plain facts."""

    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


@final
class Checkpoints:
    """The checkpoints of one run, `<folder>/<step>/{state.safetensors, state.json}`.

    `owner` names the run they belong to; another run's are not accepted.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        self.folder = folder
        self.owner = owner

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, synced to disk before it gets its name; only then are older ones removed.

        A whole checkpoint of the same step is left alone: the same run was there before, with the same state.
        """
        folder = self.folder / f"{checkpoint.step:012d}"
        if self._read(folder) is None:
            self._replace(folder, checkpoint)
        self._prune()

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, or None if there is none of any kind.

        Raises `InputError` when there are some and not one can be used.
        """
        folders = self._complete()
        for folder in folders:
            checkpoint = self._read(folder)
            if checkpoint is not None:
                return checkpoint
        if folders:
            raise InputError(
                f"no checkpoint in {self.folder} is whole and of this run; remove that folder to start over"
            )
        return None

    def clear(self) -> None:
        """Remove all checkpoints: the training is over."""
        _discard(self.folder)

    def _replace(self, folder: Path, checkpoint: Checkpoint) -> None:
        scratch = self.folder / f".{folder.name}.tmp"
        for leftover in (scratch, folder):
            _discard(leftover)
        scratch.mkdir(parents=True)
        self._write(scratch, checkpoint)
        scratch.rename(folder)
        _sync(self.folder)

    def _write(self, folder: Path, checkpoint: Checkpoint) -> None:
        digest = save_tensors(folder / "state.safetensors", checkpoint.tensors)
        record = {"owner": self.owner, "tensors": digest, "step": checkpoint.step, "facts": checkpoint.facts}
        write_json(folder / "state.json", {**record, "digest": json_digest(record)})
        _sync(folder)

    def _read(self, folder: Path) -> Checkpoint | None:
        try:
            record = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            seal, digest = record.pop("digest"), file_digest(folder / "state.safetensors")
            if (record["owner"], record["tensors"], seal) != (self.owner, digest, json_digest(record)):
                return None
            tensors = load_tensors(folder / "state.safetensors")
            return Checkpoint(record["step"], tensors, record["facts"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
            return None

    def _complete(self) -> list[Path]:
        """Return the folders that got their final name, newest first."""
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted((folder for folder in folders if folder.name.isdigit()), reverse=True)

    def _prune(self) -> None:
        kept = self._complete()[:KEPT]
        for folder in self.folder.iterdir():
            if folder not in kept:
                _discard(folder)


def _discard(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
