"""The run folder: it opens elsewhere as it was, and whatever is wrong with one is said in a sentence."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from lowerbound.core import Batch
from lowerbound.data.dataset import Dataset, load_data
from lowerbound.data.reading import Reading
from lowerbound.errors import InputError
from lowerbound.run.folder import Run, modules_of
from lowerbound.run.settings import Settings
from lowerbound.run.tensors import file_digest, json_digest
from lowerbound.training.loop import train

RECIPE, WEIGHTS = "recipe.json", "weights.safetensors"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits")


@pytest.fixture(scope="module")
def trained(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = create(tmp_path_factory.mktemp("runs") / "trained", digits)
    train(run, digits)
    return run.path


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def create(path: Path, data: Dataset, **arguments: Any) -> Run:
    model = {"latent": 2, "hidden": [8], **arguments}
    return Run.create(path, "vae", model, data.spec, Settings(epochs=1, batch_size=512), Reading("digits"))


def edit(change: Callable[[dict[str, Any]], Any], seal: bool = True) -> Callable[[Path], None]:
    """Change recipe.json; sealed, with a digest that fits, as someone would who means harm."""

    def spoil(folder: Path) -> None:
        content = json.loads((folder / RECIPE).read_text())
        change(content)
        if seal:
            content["digest"] = json_digest({name: value for name, value in content.items() if name != "digest"})
        (folder / RECIPE).write_text(json.dumps(content))

    return spoil


def set_argument(name: str, value: Any) -> Callable[[Path], None]:
    return edit(lambda content: content["arguments"].__setitem__(name, value))


def set_field(name: str, value: Any) -> Callable[[Path], None]:
    return edit(lambda content: content.__setitem__(name, value))


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None  # type: ignore[func-returns-value]


def cut(name: str, length: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, length)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def link(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        elsewhere = folder.parent / f"elsewhere-{name}"
        shutil.move(folder / name, elsewhere)
        (folder / name).symlink_to(elsewhere)

    return spoil


def replace_weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    """Put other tensors in the place of the weights, with a recipe that vouches for them."""

    def spoil(folder: Path) -> None:
        tensors = safetensors.torch.load_file(folder / WEIGHTS)
        change(tensors)
        safetensors.torch.save_file(tensors, folder / WEIGHTS)
        set_field("weights", file_digest(folder / WEIGHTS))(folder)

    return spoil


def flip(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-5] ^= 1
        (folder / name).write_bytes(content)

    return spoil


class Bomb:
    """A pickle that leaves a file behind when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("exploded",))


BIAS = "model.likelihood.x.net"
SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "no recipe": (remove(RECIPE), "is not a whole run: it has no file recipe.json"),
    "no weights": (remove(WEIGHTS), "is not a whole run: it has no file weights.safetensors"),
    "empty recipe": (write(RECIPE, b""), "is cut short or is not JSON"),
    "truncated recipe": (cut(RECIPE, 300), "is cut short or is not JSON"),
    "recipe not UTF-8": (write(RECIPE, b"\xff\xfe\x00"), "is cut short or is not JSON"),
    "deeply nested recipe": (write(RECIPE, b"[" * 10**6), "is cut short or is not JSON"),
    "a huge recipe": (write(RECIPE, b" " * (1 << 25)), "is too long"),
    "a pickle for a recipe": (write(RECIPE, pickle.dumps(Bomb())), "is cut short or is not JSON"),
    "a pickle for weights": (write(WEIGHTS, pickle.dumps(Bomb())), "SHA-256"),
    "a foreign recipe": (write(RECIPE, b'{"model_type": "bert"}'), "not the recipe of a lowerbound run"),
    "a list": (write(RECIPE, b"[]"), "not the recipe of a lowerbound run"),
    "a newer schema": (set_field("schema", 2), "made by a newer lowerbound .*: upgrade lowerbound"),
    "an impossible schema": (set_field("schema", "1"), "lacks fields"),
    "a field missing": (edit(lambda content: content.pop("data")), "lacks fields"),
    "a field too many": (set_field("hook", "os.system"), "lacks fields"),
    "recipe of a wrong type": (set_field("recipe", 3), "field recipe is of the wrong type"),
    "arguments of a wrong type": (set_field("arguments", []), "field arguments is of the wrong type"),
    "weights of a wrong type": (set_field("weights", 1), "field weights is of the wrong type"),
    "an unknown state": (set_field("state", "done"), "field state must be one of"),
    "changed by hand": (edit(lambda content: content["arguments"].update(beta=2.0), seal=False), "was changed"),
    "an unknown recipe": (set_field("recipe", "gpt"), "no recipe 'gpt'"),
    "a recipe that is a path": (set_field("recipe", "../../evil"), "no recipe '../../evil'"),
    "an unknown argument": (set_argument("depth", 3), "no argument 'depth'"),
    "an ill-typed argument": (set_argument("latent", "two"), "argument latent must be"),
    "an argument out of range": (set_argument("latent", 0), "argument latent must be"),
    "a number of a million digits": (set_argument("latent", 10**4000), "argument latent must be"),
    "an ill-typed setting": (edit(lambda c: c["settings"].update(epochs="all")), "setting epochs must be"),
    "an unknown setting": (edit(lambda c: c["settings"].update(hook="x")), "no setting 'hook'"),
    "an ill-typed description": (edit(lambda c: c["data"].update(count="many")), "'count'"),
    "a description at odds with itself": (edit(lambda c: c["data"].update(count=3)), "add up"),
    "an enormous latent": (set_argument("latent", 10**12), "does not fit the recipe|cannot be built"),
    "enormous beyond counting": (set_argument("hidden", [10**12, 10**12]), "does not fit the recipe|cannot be built"),
    "another shape": (set_argument("latent", 3), "does not fit the recipe"),
    "truncated weights": (cut(WEIGHTS, 1000), "SHA-256"),
    "flipped bit in weights": (flip(WEIGHTS), "SHA-256"),
    "weights cut and vouched for": (
        lambda folder: (cut(WEIGHTS, 1000)(folder), set_field("weights", file_digest(folder / WEIGHTS))(folder))[1],
        "not a whole safetensors file",
    ),
    "a tensor missing": (replace_weights(lambda t: t.pop(sorted(t)[0])), "missing in the file"),
    "a tensor too many": (replace_weights(lambda t: t.update(extra=torch.ones(1))), "missing in the model"),
    "a tensor of another type": (
        replace_weights(lambda t: t.update({sorted(t)[0]: t[sorted(t)[0]].double()})),
        "is float64 .* in the file and float32",
    ),
    "recipe is a link": (link(RECIPE), "is a link"),
    "weights are a link": (link(WEIGHTS), "is a link"),
    "metrics are a link": (link("metrics.jsonl"), "is a link"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_folder_is_refused_in_one_sentence(
    folder: Path, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spoil, sentence = SPOILT[case]
    spoil(folder)
    tracemalloc.start()
    with pytest.raises(InputError, match=sentence) as refusal:
        Run.open(folder)
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(refusal.value).count("\n") == 0
    assert str(folder) in str(refusal.value)
    assert allocated < 1e8
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "there is no run at"),
        (lambda path: path.write_text("x"), "there is no run at"),
        (lambda path: path.mkdir(), "has no file recipe.json"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, make: Callable[[Path], Any], sentence: str) -> None:
    make(tmp_path / "run")
    with pytest.raises(InputError, match=sentence):
        Run.open(tmp_path / "run")


def test_a_run_opens_elsewhere_with_the_same_numbers(trained: Path, digits: Dataset, tmp_path: Path) -> None:
    here = Run.open(trained)
    there = Run.open(shutil.copytree(trained, tmp_path / "elsewhere"))
    batch = Batch({"x": torch.ones(4, 8, 8)})
    means = [run.setup().model.infer(batch).mean for run in (here, there)]
    assert torch.equal(*means)
    assert there.metrics() == here.metrics()
    assert there.record.data == digits.spec
    there.require_data(digits.spec)


def test_opening_leaves_the_callers_random_numbers_alone(trained: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    Run.open(trained).setup()
    assert torch.equal(torch.rand(2), expected)


def test_a_setup_comes_ready_for_use(trained: Path) -> None:
    setup = Run.open(trained).setup()
    assert not setup.model.training


def test_first_weights_follow_from_the_seed(digits: Dataset, tmp_path: Path) -> None:
    run = create(tmp_path / "run", digits)
    draws = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        draws.append(modules_of(run.draw()).state_dict())
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])


def test_a_run_that_is_not_trained_has_no_weights_to_give(digits: Dataset, tmp_path: Path) -> None:
    create(tmp_path / "run", digits)
    with pytest.raises(InputError, match=r"not been trained to the end; .* --resume"):
        Run.open(tmp_path / "run").setup()


def test_all_arguments_are_recorded_with_their_defaults(digits: Dataset, tmp_path: Path) -> None:
    run = create(tmp_path / "run", digits)
    assert Run.open(run.path).record.arguments["activation"] == "silu"


def test_a_new_run_needs_an_empty_place(folder: Path, digits: Dataset, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"holds a run; .* --resume"):
        create(folder, digits)
    for name in ("full", "file"):
        with pytest.raises(InputError, match="choose another folder"):
            create(tmp_path / name, digits)
    create(tmp_path / "empty", digits)


def test_a_run_that_cannot_be_is_not_begun(digits: Dataset, tmp_path: Path) -> None:
    for arguments, sentence in (
        ({"latent": 10**12}, "this machine has"),
        ({"hidden": [10**12, 10**12]}, "cannot be built"),
        ({"latnet": 3}, "did you mean 'latent'"),
    ):
        with pytest.raises(InputError, match=sentence):
            create(tmp_path / "run", digits, **arguments)
    assert not (tmp_path / "run").exists()


def test_metrics_leave_out_a_line_that_was_cut_short(folder: Path) -> None:
    whole = Run.open(folder).metrics()
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 2, "st')
    assert Run.open(folder).metrics() == whole


def test_the_other_processes_open_what_the_first_made(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(tmp_path / "run", digits)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert create(tmp_path / "run", digits).record == made.record
    monkeypatch.setattr("lowerbound.run.folder.LONGEST_WAIT", 0.0)
    with pytest.raises(InputError, match="the first process made no run"):
        create(tmp_path / "nowhere", digits)
