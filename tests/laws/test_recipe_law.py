"""Laws 5 and 6 over the zoo: every parameter learns, weights survive a file, seeds repeat, a step is one graph."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.distributions import Distribution

from agree import assert_close
from catalogue import KINDS, LABEL, ONLY, RANGES, TOLD, Case, batch, cases, options, spec, variable
from lowerbound.core import ELBO, AnalyticELBO, Distortion, Model, Rate, total
from lowerbound.core.latent import named
from lowerbound.errors import InputError
from lowerbound.recipes import Setup, get, names
from lowerbound.run.folder import modules_of

pytestmark = pytest.mark.usefixtures("double")

WAYS = [
    pytest.param(recipe, bound, estimator, id=f"{recipe}-{bound}-{estimator}")
    for recipe in names()
    for bound in options(recipe, "bound") or (None,)
    for estimator in options(recipe, "estimator") or (None,)
]


def way(recipe: str, bound: str | None, estimator: str | None) -> Case:
    pairs = (("bound", bound), ("estimator", estimator))
    return Case.of(recipe, "unit", *((name, value) for name, value in pairs if value is not None))


def loss_of(setup: Setup, case: Case, rows: int = 6) -> torch.Tensor:
    seen = setup.see(case.batch(rows))
    return total(setup.objective(setup.model.trace(seen, setup.particles, setup.estimator)))


def assert_every_parameter_learns(setup: Setup, case: Case) -> None:
    modules_of(setup).train()
    loss_of(setup, case).backward()
    for name, p in setup.model.named_parameters():
        assert p.grad is not None, f"{name} has no gradient"
        assert p.grad.to_dense().isfinite().all(), f"{name} has a gradient that is not finite"
        assert p.grad.to_dense().abs().sum() > 0, f"{name} has a gradient of zero"


@pytest.mark.parametrize("case", cases("net"))
def test_every_parameter_gets_a_gradient(case: Case) -> None:
    assert_every_parameter_learns(case.build(), case)


@pytest.mark.parametrize(("recipe", "bound", "estimator"), WAYS)
def test_every_bound_and_estimator_trains_or_is_refused(recipe: str, bound: str, estimator: str) -> None:
    case = way(recipe, bound, estimator)
    if sentence := refusal(case):
        assert "use " in sentence
    else:
        assert_every_parameter_learns(case.build(), case)


def refusal(case: Case) -> str:
    """Why the recipe will not be built so; empty if it will."""
    try:
        case.build()
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("case", cases("net"))
def test_weights_survive_a_file_bit_for_bit(case: Case) -> None:
    setups, found = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        setups.append(case.build())
    written = save({name: value.contiguous() for name, value in setups[0].model.state_dict().items()})
    setups[1].model.load_state_dict(load(written))
    for setup in setups:
        torch.manual_seed(0)
        found.append(setup.model.trace(setup.see(case.batch(4)), 2).log_w)
    assert torch.equal(*found)


@pytest.mark.parametrize("recipe", names())
def test_one_seed_is_one_run(recipe: str) -> None:
    losses, case = [], Case.of(recipe, "byte")
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        losses.append(loss_of(case.build(), case))
    assert losses[0] == losses[1] != losses[2]


@torch.no_grad()
@pytest.mark.parametrize("recipe", names())
def test_terms_are_what_they_are_called(recipe: str) -> None:
    """A rate is the KL and a distortion is −E log p(x|z); whatever is weighted or charged is called so."""
    case = Case.of(recipe)
    setup = case.build()
    trace = setup.model.trace(setup.see(case.batch(4)), 1, setup.estimator)
    terms, true = setup.objective(trace), {**Distortion()(trace), **Rate()(trace), **ELBO()(trace)}
    for name in terms.keys() & true.keys():
        assert_close(terms[name], true[name])


def test_what_trains_is_what_is_measured() -> None:
    """At its defaults a VAE minimises minus a bound on log p: its terms add up to the ELBO on the same particles."""
    setup = Case("vae", "unit", ()).build(particles=1)
    trace = setup.model.trace(setup.see(batch("unit", 4)), 1, setup.estimator)
    assert_close(sum(setup.objective(trace).values()), sum(AnalyticELBO()(trace).values()))


@pytest.mark.parametrize(("recipe", "kind"), [(recipe, kind) for recipe in names() for kind in KINDS[recipe]])
def test_numbers_are_nats_of_a_datum(recipe: str, kind: str) -> None:
    """Terms sum over the entries of a datum and over nothing else: the mean over a doubled batch stays the same."""
    case = Case.of(recipe, kind)
    setup = case.build()
    seen = setup.see(case.batch(3))
    twice = seen.map(lambda t: torch.cat([t, t]))
    z = {name: q.mean for name, q in named(setup.model.infer(seen)).items()}
    once, doubled = (
        decoded(setup.model, {name: torch.cat([each] * n) for name, each in z.items()}, shown.c)
        for n, shown in ((1, seen), (2, twice))
    )
    for name, d in once.items():
        by_entry = d.base_dist.log_prob(seen.x[name]).flatten(1).sum(1)
        assert_close(d.log_prob(seen.x[name]), by_entry, within=1e-10)
        assert_close(doubled[name].log_prob(twice.x[name]).mean(), by_entry.mean(), within=1e-10)


def decoded(model: Model, z: dict[str, torch.Tensor], c: torch.Tensor | None) -> dict[str, Distribution]:
    return model.decode(z["z"] if list(z) == ["z"] else z, c)


@pytest.mark.parametrize("recipe", names())
def test_recipes_train_in_float32(recipe: str) -> None:
    torch.set_default_dtype(torch.float32)
    case = Case.of(recipe, "byte")
    setup = case.build()
    assert_every_parameter_learns(setup, case)
    assert all(p.dtype == torch.float32 for p in setup.model.parameters())


@pytest.mark.parametrize("recipe", names())
def test_every_argument_is_typed_documented_and_has_a_default(recipe: str) -> None:
    found = get(recipe)
    assert found.summary.endswith(".")
    assert found.description.startswith(found.summary)
    assert found.choice, "the docstring has no sentence that begins: Choose it"
    for parameter in found.parameters.values():
        assert len(parameter.doc) > 10
        assert found.check({parameter.name: parameter.default})
    assert found.check({}) == {name: p.default for name, p in found.parameters.items()}


@pytest.mark.parametrize("recipe", names())
def test_defaults_build_for_every_kind_of_data(recipe: str) -> None:
    for kind in KINDS[recipe]:
        setup = get(recipe).build(spec(variable(kind, (5,)), told=TOLD.get(recipe, LABEL)))
        assert math.isfinite(setup.log_volume)
        trace = setup.model.trace(setup.see(batch(kind, 2, (5,))), setup.particles, setup.estimator)
        assert trace.log_w.isfinite().all()


@pytest.mark.parametrize(("recipe", "kind"), [(recipe, kind) for recipe in ONLY for kind in {*RANGES, *KINDS[recipe]}])
def test_a_recipe_of_one_kind_of_data_says_so_of_others(recipe: str, kind: str) -> None:
    fits = kind in KINDS[recipe]
    for shape in [(2, 3, 4)] if fits else [(2, 3, 4), ONLY[recipe][1]]:
        with pytest.raises(InputError, match=f"{recipe} is of"):
            get(recipe).build(spec(variable(kind, shape)))


COMPILED = [(recipe, None, None) for recipe in names()]
COMPILED += [("vae", "elbo-mc", "stl"), ("vae", "iwae", "dreg"), ("vae", "iwae", "score")]
COMPILED += [("vae", "piwae", "dreg"), ("vae", "tvo", "dreg")]


@pytest.mark.parametrize(("recipe", "bound", "estimator"), COMPILED)
def test_a_training_step_compiles_whole(recipe: str, bound: str | None, estimator: str | None) -> None:
    """One graph without a break, and the loss, gradients and buffers of the plain step; what is traced runs eagerly."""
    case = way(recipe, bound, estimator)
    setup = case.build()
    seen, modules = setup.see(case.batch(4)), nn.ModuleList([setup.model, setup.objective]).train()
    before = {name: value.clone() for name, value in modules.state_dict().items()}

    def loss() -> torch.Tensor:
        return total(setup.objective(setup.model.trace(seen, setup.particles, setup.estimator), torch.tensor(3)))

    found = []
    torch.compiler.reset()
    for step in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(0)
        modules.load_state_dict(before)
        setup.model.zero_grad()
        value = step()
        value.backward()
        after = [each.clone() for each in modules.buffers()]
        found.append([value.detach(), *(p.grad.to_dense() for p in setup.model.parameters()), *after])
    for eager, compiled in zip(*found):
        assert_close(compiled, eager, within=1e-10)
