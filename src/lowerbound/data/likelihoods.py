"""Which likelihood speaks of which kind of value; imports neither torch nor numpy."""

from __future__ import annotations

from lowerbound.data.spec import Variable
from lowerbound.errors import InputError

_CONTINUOUS = frozenset({"byte", "unit", "real"})

ACCEPTS: dict[str, frozenset[str]] = {
    "bernoulli": frozenset({"binary", "byte"}),
    "continuous-bernoulli": frozenset({"byte", "unit"}),
    "gaussian": _CONTINUOUS,
    "gaussian-fixed": _CONTINUOUS | {"binary"},
    "gaussian-learned": _CONTINUOUS,
    "gaussian-per-dim": _CONTINUOUS,
    "mse": _CONTINUOUS | {"binary"},
    "laplace": _CONTINUOUS,
    "laplace-fixed": _CONTINUOUS,
    "laplace-learned": _CONTINUOUS,
    "categorical": frozenset({"category", "binary", "byte"}),
    "discretized-logistic": frozenset({"byte"}),
    "discretized-logistic-mixture": frozenset({"byte"}),
    "poisson": frozenset({"count"}),
    "negative-binomial": frozenset({"count"}),
}
"""Likelihood name -> the kinds of value of which it gives a normalised log p once its view is applied.

A Gaussian of free variance is not offered for 0/1 values: its density has no upper bound there.
"""

_HOLDS = {
    "binary": "only 0 and 1",
    "byte": "integers 0 to {high:g} of an ordered scale",
    "unit": "grey values between 0 and 1",
    "real": "real numbers between {low:.4g} and {high:.4g}",
    "count": "counts up to {high:g}",
    "category": "codes of {levels} categories",
}

_REMEDY = {
    "binary": "use bernoulli",
    "byte": "use discretized-logistic or bernoulli (under dynamic binarisation), or load them with kind='count'",
    "unit": "use continuous-bernoulli or gaussian, or binarise them first (x > 0.5) and use bernoulli",
    "real": "use gaussian or laplace, or rescale or round the values to what it takes",
    "count": "use negative-binomial or poisson, or load them with kind='real' or, for pictures, kind='byte'",
    "category": "use categorical",
}

_DEFAULT = {
    "binary": ("bernoulli", "every value is 0 or 1"),
    "byte": ("discretized-logistic", "the values are integers 0 to {high:g} of an ordered scale"),
    "unit": ("continuous-bernoulli", "the values fill [0, 1], of which a Bernoulli is no density"),
    "real": ("gaussian", "the values are real numbers, standardised by the training rows"),
    "count": ("negative-binomial", "the values are counts, whose variance may exceed their mean"),
    "category": ("categorical", "the values are codes of {levels} unordered categories"),
}


def check_likelihood(variable: Variable, likelihood: str) -> None:
    """Refuse a likelihood that gives no normalised log p of this variable's values.

    Raises:
        InputError: one sentence that says what the variable holds and what to use instead.

    Example:
        >>> check_likelihood(Variable("x", "unit", (8, 8), 0, 1), "bernoulli")
        Traceback (most recent call last):
        ...
        lowerbound.errors.InputError: variable 'x' holds grey values between 0 and 1, of which bernoulli is no \
likelihood: use continuous-bernoulli or gaussian, or binarise them first (x > 0.5) and use bernoulli
    """
    if likelihood not in ACCEPTS:
        raise InputError(f"there is no likelihood {likelihood!r}; choose one of: {', '.join(ACCEPTS)}")
    if variable.kind not in ACCEPTS[likelihood]:
        holds, remedy = _say(_HOLDS[variable.kind], variable), _REMEDY[variable.kind]
        raise InputError(f"variable {variable.name!r} holds {holds}, of which {likelihood} is no likelihood: {remedy}")


def default_likelihood(variable: Variable, near_binary: bool = False) -> tuple[str, str]:
    """The sensible likelihood of a variable and, in one sentence, why.

    `near_binary` says that the variable is of pictures whose pixels are nearly all black or white, which by custom
    are binarised dynamically (Burda, Grosse, Salakhutdinov, Importance Weighted Autoencoders, 2016).

    Example:
        >>> default_likelihood(Variable("x", "count", (3,), 0, 12))[0]
        'negative-binomial'
    """
    name, why = _DEFAULT[variable.kind]
    if variable.kind == "byte" and near_binary:
        name, why = "bernoulli", "the pictures are nearly black and white: each pixel is drawn 0 or 1 anew"
    elif variable.kind == "byte" and _has_colour(variable):
        name, why = "discretized-logistic-mixture", f"{why}, in colour"
    return name, f"{name} because {_say(why, variable)}"


def _has_colour(variable: Variable) -> bool:
    return len(variable.shape) == 3 and variable.shape[-1] > 1


def _say(words: str, variable: Variable) -> str:
    return words.format(low=variable.low, high=variable.high, levels=variable.levels)
