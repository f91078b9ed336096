"""Checkpoints appear whole, are checked when read, and never stand for another run's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lowerbound.errors import InputError
from lowerbound.run.checkpoint import KEPT, Checkpoint, Checkpoints


def checkpoint(step: int) -> Checkpoint:
    shared = torch.full((3,), float(step))
    tensors = {"weights/a": shared, "weights/b": shared, "tally/sums": torch.tensor([0.1], dtype=torch.float64)}
    return Checkpoint(step, tensors, {"best": -1 / 3, "names": ["rate"]})


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", "me")


def names(kept: Checkpoints) -> list[str]:
    return sorted(path.name for path in kept.folder.iterdir())


def test_there_is_none_at_first(kept: Checkpoints) -> None:
    assert kept.newest() is None


def test_what_is_saved_comes_back_bit_for_bit(kept: Checkpoints) -> None:
    kept.save(checkpoint(7))
    found = kept.newest()
    assert found is not None
    assert found.step == 7
    assert found.facts == {"best": -1 / 3, "names": ["rate"]}
    assert all(torch.equal(found.tensors[name], value) for name, value in checkpoint(7).tensors.items())


def test_the_newest_is_taken_and_old_ones_go(kept: Checkpoints) -> None:
    for step in (5, 900, 10000):
        kept.save(checkpoint(step))
    found = kept.newest()
    assert found is not None
    assert found.step == 10000
    assert len(names(kept)) == KEPT


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_damaged_checkpoint_is_passed_over(kept: Checkpoints, file: str, damage: str) -> None:
    kept.save(checkpoint(1))
    kept.save(checkpoint(2))
    path = kept.folder / f"{2:012d}" / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": content[:-3], "empty": b""}[damage])
    found = kept.newest()
    assert found is not None
    assert found.step == 1


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
def test_any_changed_byte_is_noticed(kept: Checkpoints, file: str) -> None:
    kept.save(checkpoint(1))
    path = kept.folder / f"{1:012d}" / file
    content = path.read_bytes()
    for place in range(0, len(content.strip()), 3):
        path.write_bytes(bytes([*content[:place], content[place] ^ 1, *content[place + 1 :]]))
        with pytest.raises(InputError):
            kept.newest()


def test_a_damaged_checkpoint_is_replaced_when_training_comes_by_again(kept: Checkpoints) -> None:
    kept.save(checkpoint(2))
    (kept.folder / f"{2:012d}" / "state.json").write_text("{}")
    kept.save(checkpoint(2))
    found = kept.newest()
    assert found is not None
    assert found.step == 2


def test_a_folder_that_was_being_written_does_not_count_and_is_cleared_away(kept: Checkpoints) -> None:
    half = kept.folder / ".000000000009.tmp"
    half.mkdir(parents=True)
    (half / "state.safetensors").write_bytes(b"half")
    assert kept.newest() is None
    kept.save(checkpoint(1))
    assert names(kept) == [f"{1:012d}"]


def test_nothing_usable_is_an_error_and_not_a_fresh_start(kept: Checkpoints) -> None:
    kept.save(checkpoint(1))
    with pytest.raises(InputError, match="remove that folder"):
        Checkpoints(kept.folder, "someone else").newest()


def test_a_checkpoint_is_json_and_safetensors(kept: Checkpoints) -> None:
    kept.save(checkpoint(3))
    folder = kept.folder / f"{3:012d}"
    assert sorted(path.name for path in folder.iterdir()) == ["state.json", "state.safetensors"]
    assert json.loads((folder / "state.json").read_text())["owner"] == "me"


def test_clearing_leaves_nothing(kept: Checkpoints) -> None:
    kept.save(checkpoint(3))
    kept.clear()
    kept.clear()
    assert not kept.folder.exists()
