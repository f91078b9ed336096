"""Probes against labels that are, or are not, in the features; and against scikit-learn's own answers."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lowerbound.data.dataset import load_data
from lowerbound.errors import InputError
from lowerbound.evaluation.probes import PROBES, labelled, plain, principal, probe

SIZES = {"train": 400, "validation": 200, "test": 300}


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def splits(random: np.random.Generator, width: int) -> dict[str, np.ndarray]:
    return {name: random.normal(size=(size, width)) for name, size in SIZES.items()}


def test_a_linear_label_is_read_off_and_chance_is_not(random: np.random.Generator) -> None:
    x, noise = splits(random, 4), splits(random, 2)
    labels = {name: (part[:, 0] > part[:, 1]).astype(int) for name, part in x.items()}
    found = probe(noise, x, labels)
    assert found["raw"]["linear"]["accuracy"] > 0.97
    assert abs(found["codes"]["linear"]["accuracy"] - 0.5) < 4 * 0.5 / 300**0.5
    assert (found["codes"]["width"], found["pca"]["width"], found["raw"]["width"], found["rows"]) == (2, 2, 4, 400)


def test_a_ring_is_for_neighbours_and_not_for_a_line(random: np.random.Generator) -> None:
    x = splits(random, 2)
    labels = {name: (np.square(part).sum(1) > 1.4).astype(int) for name, part in x.items()}
    found = probe(x, x, labels)["codes"]
    assert found["knn"]["accuracy"] > 0.9 > 0.7 > found["linear"]["accuracy"]


def test_the_setting_is_chosen_on_validation_and_the_test_is_scikit_learns(random: np.random.Generator) -> None:
    x = splits(random, 3)
    labels = {name: (part[:, 0] + random.normal(size=len(part)) > 0).astype(int) for name, part in x.items()}
    found = PROBES["linear"].measure(x, labels)
    scale = StandardScaler().fit(x["train"])
    by_hand = {
        c: LogisticRegression(C=c, max_iter=1000).fit(scale.transform(x["train"]), labels["train"])
        for c in PROBES["linear"].choices
    }
    held = {c: model.score(scale.transform(x["validation"]), labels["validation"]) for c, model in by_hand.items()}
    assert found["validation_accuracy"] == max(held.values()) == held[found["inverse_penalty"]]
    chosen = by_hand[found["inverse_penalty"]]
    assert found["accuracy"] == chosen.score(scale.transform(x["test"]), labels["test"])
    assert found["stderr"] == pytest.approx((found["accuracy"] * (1 - found["accuracy"]) / 300) ** 0.5)


def test_components_are_orthogonal_and_no_more_than_there_are_values(random: np.random.Generator) -> None:
    x = splits(random, 3)
    assert principal(x, 8)["test"].shape == (300, 3)
    products = np.cov(principal(x, 2)["train"].T)
    assert abs(products[0, 1]) < 1e-10


def test_at_most_so_many_training_rows_evenly_spread() -> None:
    data = load_data("digits")
    x, labels = labelled(data, 100)
    assert {name: len(part["x"]) for name, part in x.items()} == {"train": 100, "validation": 179, "test": 179}
    assert np.array_equal(x["train"]["x"][-1], data.split("train").array("x")[-1])
    assert len(labels["train"]) == 100
    assert len(labelled(data, 10**6)[1]["train"]) == 1439


def test_codes_of_categories_become_one_hot_beside_other_values() -> None:
    data = load_data({"a": np.tile([0, 1, 2, 1], 10), "b": np.random.default_rng(0).normal(size=(40, 2))}, kind=None)
    spec = data.spec
    x = {name: data.arrays[name][:3] for name in ("a", "b")}
    wide = plain(spec, x)
    levels = spec.variable("a").levels
    assert wide.shape == (3, (levels if spec.variable("a").kind == "category" else 1) + 2)


def test_labels_must_be_there_and_differ(random: np.random.Generator) -> None:
    with pytest.raises(InputError, match="no labels"):
        labelled(load_data(random.normal(size=(30, 2))), 10)
    x = splits(random, 2)
    with pytest.raises(InputError, match="only one"):
        probe(x, x, {name: np.zeros(size) for name, size in SIZES.items()})
