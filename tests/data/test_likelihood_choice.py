"""Which likelihood suits which data, which is refused, and what the refusal says to do."""

from __future__ import annotations

import numpy as np
import pytest
from samples import VARIABLES

from lowerbound.data.dataset import load_data
from lowerbound.data.likelihoods import ACCEPTS, check_likelihood
from lowerbound.data.spec import KINDS
from lowerbound.errors import InputError

random = np.random.default_rng(0)

INFERRED = {
    "booleans": (random.random((20, 3)) < 0.5, "binary", "bernoulli"),
    "bytes that are 0 or 1": (random.integers(0, 2, (20, 3), dtype=np.uint8), "binary", "bernoulli"),
    "floats that are 0 or 1": (random.integers(0, 2, (20, 3)).astype(float), "binary", "bernoulli"),
    "grey bytes": (random.integers(0, 256, (20, 4, 4), dtype=np.uint8), "byte", "discretized-logistic"),
    "colour bytes": (random.integers(0, 256, (20, 4, 4, 3), dtype=np.uint8), "byte", "discretized-logistic-mixture"),
    "one channel": (random.integers(0, 256, (20, 4, 4, 1), dtype=np.uint8), "byte", "discretized-logistic"),
    "grey floats": (random.random((20, 4, 4)), "unit", "continuous-bernoulli"),
    "half floats": (random.random((20, 4)).astype(np.float16), "unit", "continuous-bernoulli"),
    "reals": (random.normal(size=(20, 3)), "real", "gaussian"),
    "negative integers": (random.integers(-9, 9, (20, 3)), "real", "gaussian"),
    "integers": (random.integers(0, 9, (20, 3)), "count", "negative-binomial"),
    "whole floats": (random.integers(0, 9, (20, 3)).astype(float), "count", "negative-binomial"),
}


@pytest.mark.parametrize(("values", "kind", "likelihood"), INFERRED.values(), ids=INFERRED)
def test_kind_and_likelihood_are_inferred_from_type_and_range(values: np.ndarray, kind: str, likelihood: str) -> None:
    spec = load_data(values).spec
    assert (spec.variables[0].kind, spec.likelihood) == (kind, likelihood)
    assert spec.why.startswith(f"{likelihood} because ")
    check_likelihood(spec.variables[0], spec.likelihood)


def test_pictures_of_handwriting_are_binarised_by_default() -> None:
    spec = load_data("digits").spec
    assert (spec.likelihood, spec.variables[0].levels) == ("bernoulli", 17)
    assert "drawn 0 or 1 anew" in spec.why


def test_a_declared_kind_is_taken() -> None:
    values = random.integers(0, 9, (20, 3))
    assert load_data(values, kind="real").spec.likelihood == "gaussian"
    assert load_data(values, kind="category").spec.variables[0].levels == int(values.max()) + 1
    assert load_data(values, kind="byte").arrays["x"].dtype == np.uint8


REFUSED = [
    ("real", "bernoulli", "real numbers between -3 and 5", "use gaussian or laplace"),
    ("unit", "bernoulli", "grey values between 0 and 1", "use continuous-bernoulli or gaussian, or binarise them"),
    ("real", "poisson", "real numbers between -3 and 5", "use gaussian or laplace"),
    ("byte", "poisson", "integers 0 to 255", "load them with kind='count'"),
    ("count", "gaussian", "counts up to 30", "use negative-binomial or poisson, or load them with kind='real'"),
    ("binary", "gaussian", "only 0 and 1", "use bernoulli"),
    ("category", "gaussian", "codes of 6 categories", "use categorical"),
    ("unit", "discretized-logistic", "grey values", "use continuous-bernoulli"),
    ("real", "student", "there is no likelihood 'student'", "choose one of: bernoulli"),
]


@pytest.mark.parametrize(("kind", "likelihood", "holds", "remedy"), REFUSED)
def test_the_wrong_likelihood_is_refused_with_its_remedy(kind: str, likelihood: str, holds: str, remedy: str) -> None:
    with pytest.raises(InputError) as refused:
        check_likelihood(VARIABLES[kind], likelihood)
    assert holds in str(refused.value)
    assert remedy in str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_remedy_names_a_likelihood_that_is_accepted(kind: str) -> None:
    wrong = next(name for name, kinds in ACCEPTS.items() if kind not in kinds)
    with pytest.raises(InputError) as refused:
        check_likelihood(VARIABLES[kind], wrong)
    _, _, remedy = str(refused.value).partition(": use ")
    check_likelihood(VARIABLES[kind], remedy.split()[0])


def test_a_gaussian_of_free_variance_is_not_offered_where_its_density_has_no_bound() -> None:
    binary = VARIABLES["binary"]
    check_likelihood(binary, "mse")
    check_likelihood(binary, "gaussian-fixed")
    for likelihood in ("gaussian", "gaussian-learned", "gaussian-per-dim", "laplace"):
        with pytest.raises(InputError, match="use bernoulli"):
            check_likelihood(binary, likelihood)
