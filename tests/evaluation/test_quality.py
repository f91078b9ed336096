"""Samples beside real rows: what the figures are made of, and what they say of good and bad samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import lowerbound
from lowerbound.data.dataset import load_data
from lowerbound.errors import InputError
from lowerbound.evaluation.classifier import Classifier, taught
from lowerbound.evaluation.coverage import coverage
from lowerbound.evaluation.frechet import frechet
from lowerbound.evaluation.quality import Comparison, compared, labels, quality, told
from lowerbound.evaluation.schooling import Schooling
from lowerbound.fitted import Fitted

FEW = Comparison(count=150)
TINY = {"latent": 4, "hidden": [64], "epochs": 20}


@pytest.fixture(scope="module")
def judge() -> Classifier:
    return taught(load_data("digits"), Schooling(widths=(16, 32), steps=250, shift=1), torch.device("cpu"))


@pytest.fixture(scope="module")
def model() -> Fitted:
    return lowerbound.train("vae", "digits", **TINY)


def test_the_figures_are_those_of_the_features_of_as_many_samples(judge: Classifier, model: Fitted) -> None:
    found = quality(model, judge, how=FEW)
    rows = model.rows()
    real = judge.features(rows.array("x")[np.linspace(0, rows.count - 1, 150).astype(int)])
    made = judge.features(model.sample(150))
    assert found["samples"]["frechet"] == pytest.approx(frechet(real, made))
    assert {name: found["samples"][name] for name in coverage(real, made)._fields} == coverage(real, made)._asdict()
    assert (found["count"], found["data"], found["coherence"]) == (150, "digits", None)
    assert found["judge"]["accuracy"] == judge.accuracy
    assert compared(real, made, FEW) == found["samples"]


def test_real_rows_are_nearer_to_real_rows_than_samples_and_these_than_noise(judge: Classifier, model: Fitted) -> None:
    found = quality(model, judge, how=FEW)
    real = judge.features(model.rows().array("x"))
    noise = compared(real, judge.features(np.random.default_rng(0).uniform(0, 16, size=(150, 8, 8))))
    assert found["training_rows"]["frechet"] < found["samples"]["frechet"] < noise["frechet"]
    assert found["training_rows"]["coverage"] > found["samples"]["coverage"] > noise["coverage"]


def test_there_are_no_more_than_the_split_has_and_a_count_is_a_count(judge: Classifier, model: Fitted) -> None:
    assert quality(model, judge, how=replace(FEW, count=10**6))["count"] == model.rows().count
    with pytest.raises(InputError, match="count"):
        quality(model, judge, how=replace(FEW, count=0))


def test_a_model_told_labels_is_asked_for_those_of_the_rows(judge: Classifier) -> None:
    found = quality(lowerbound.train("cvae", "digits", **{**TINY, "epochs": 60}, lr=3e-3), judge, how=FEW)["coherence"]
    assert found["count"] == 150
    assert set(found["per_label"]) == set("0123456789")
    assert 0.5 < found["share"] <= 1


def test_what_rows_are_told_is_their_labels_or_their_vectors() -> None:
    x = np.random.default_rng(0).random((40, 3))
    assert told(load_data("digits").split("test"))[:3] == labels(load_data("digits").split("test"))[:3].tolist()
    vectors = load_data(x, labels=x).split("test")
    assert labels(vectors) is None
    assert np.allclose(told(vectors), vectors.array("x"), atol=1e-6)
    with pytest.raises(InputError, match="nothing that the model could be told"):
        told(load_data(x).split("test"))
