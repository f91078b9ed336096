"""The variational autoencoder of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, final

import torch
from torch import Tensor

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.core import Autoregressive, Batch, Categorical, Conditional, Latent
from lowerbound.data.conditioning import Told
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.data.views import view_for
from lowerbound.errors import InputError
from lowerbound.nets.sequence import ParallelDecoder, Readout, SequenceEncoder, Sizes
from lowerbound.nets.sequence_causal import GRUWriter, TransformerWriter
from lowerbound.recipes import bounds, lagging, latents, parts
from lowerbound.recipes.registry import Setup, recipe

DecoderName = Literal["parallel", "gru", "transformer"]
ToldName = Literal["nothing", "condition"]
PriorName = Literal["normal", "mixture", "maf", "realnvp", "spline"]
Share = Annotated[float, (0.0, 0.99)]

COUNTED = 4096
"""Texts whose symbols are counted before the first step."""


@recipe("text-vae")
def text_vae(
    spec: DataSpec,
    *,
    latent: Count = 64,
    decoder: DecoderName = "parallel",
    width: Count = 256,
    layers: Count = 3,
    embedding: Count = 128,
    dropout: Share = 0.0,
    word_dropout: Share = 0.0,
    bound: bounds.BoundName = "elbo",
    estimator: bounds.EstimatorName = "pathwise",
    particles: Count = 1,
    beta: NonNegative = 1.0,
    anneal: NonNegativeInt = 0,
    cycles: Count = 1,
    free_bits: NonNegative = 0.0,
    lag: NonNegativeInt = 0,
    lag_steps: Count = 2000,
    told: ToldName = "nothing",
    drop: Share = 0.1,
    prior: PriorName = "normal",
    posterior: latents.PosteriorName = "diagonal",
    components: Count = 100,
    transforms: Count = 4,
) -> Setup:
    """Variational autoencoder of texts: gated convolutions read one, and it is written from z, at once or in order.

    Choose it for rows of symbols: poems, sentences, codes in an order. Of a text that ends early the end is told as a
    symbol, and nothing beyond it is read or scored. Stanislau Semeniuta, Aliaksei Severyn and Erhardt Barth, "A hybrid
    convolutional variational autoencoder for text generation", 2017; Samuel R. Bowman et al., "Generating sentences
    from a continuous space", 2016.

    Args:
        decoder: parallel writes all symbols at once, so that z must say everything; gru and transformer write one after
            another and read what is written, which may leave z nothing to say; then try word_dropout, free_bits or lag.
        width: numbers in the state of each place.
        layers: of each network.
        embedding: numbers that stand for a symbol.
        dropout: share of what a layer adds that is left out in training; of gru and transformer, of their last states.
        word_dropout: of gru and transformer, the share of symbols that are hidden in training from those after them.
        bound: as of the recipe vae.
        estimator: as of the recipe vae.
        particles: draws of z for each datum and step.
        beta: weight of the rate.
        anneal: steps over which that weight rises from 0.
        cycles: how often it rises, held in between for as many steps.
        free_bits: nats of each latent dimension that cost nothing to use.
        lag: steps of the encoder alone before each one of the decoder, lest z collapse while the encoder lags behind.
        lag_steps: steps after which both move in each.
        told: nothing, or the data's condition: then encoder and decoder are shown it.
        drop: share of the training data whose condition is withheld, so that the model serves without it too.
        prior: as of the recipe vae, but for its vamp: there are no texts between texts to learn.
        posterior: as of the recipe vae.
        components: Gaussians of the prior mixture.
        transforms: steps of each flow.
    """
    x = sequence(spec)
    chosen = latents.chosen(prior, posterior, components, transforms, free_bits)
    sizes = Sizes(x.levels or 2, x.shape[0], width, layers, embedding, dropout)
    condition = Told.by(spec, drop) if told == "condition" else None
    shown = condition.width if condition else 0
    after = chosen.after(SequenceEncoder(sizes, chosen.width(latent), shown), latent)
    written = writer(decoder, sizes, latent, shown, word_dropout, x.missing)
    setup = Setup(
        Latent(chosen.before(latent, after, x.shape), after, {x.name: written.likelihood}, reads(x.name)),
        {x.name: view_for(x, "categorical")},
        bounds.objective(bound, beta, anneal, free_bits, particles, cycles),
        bounds.estimator(estimator, bound, particles),
        particles,
        condition=condition,
        meet={0.0: lambda rows, step, steps: written.out.start_at(log_shares(rows(COUNTED), x))},
    )
    return lagging.ahead(setup, lag, lag_steps) if lag else setup


@final
@dataclass(frozen=True, eq=False)
class Writer:
    """A likelihood of sequences, and where its networks end."""

    likelihood: Conditional
    out: Readout


def writer(decoder: DecoderName, sizes: Sizes, latent: int, shown: int, word_dropout: float, ends: bool) -> Writer:
    """The likelihood by the name of its decoder, of z and a condition of so many numbers."""
    if decoder != "parallel":
        net = _CAUSAL[decoder](sizes, latent + shown)
        return Writer(Autoregressive(net, word_dropout, ends), net.out)
    if word_dropout:
        raise InputError("a parallel decoder reads no words that could be dropped; use word_dropout 0, or decoder gru")
    parallel = ParallelDecoder(sizes, latent, shown)
    return Writer(Categorical(parallel, sizes.symbols), parallel.out)


_CAUSAL: dict[str, type[GRUWriter] | type[TransformerWriter]] = {"gru": GRUWriter, "transformer": TransformerWriter}


def sequence(spec: DataSpec) -> Variable:
    """The one variable of data that are rows of symbols; others are refused."""
    x = parts.only_variable(spec)
    if x.kind != "category" or len(x.shape) != 1:
        raise InputError(
            f"text-vae is of rows of symbols, and {x.name!r} is of kind {x.kind} and shape {x.shape}; "
            "give texts, or codes (N, L) with kind='category', or use the recipe vae"
        )
    return x


def reads(name: str) -> parts.Reads:
    """What an encoder is given of a variable of codes: the codes, −1 where there was none."""

    def read(batch: Batch) -> tuple[Tensor, Tensor | None]:
        mask, codes = batch.mask_of(name), batch.filled(name)
        return (codes if mask is None else torch.where(mask, codes, -1)), batch.c

    return read


def log_shares(batch: Batch, x: Variable) -> Tensor:
    """The logarithm of each symbol's share of those observed, every one counted once more than it was seen."""
    codes, _ = reads(x.name)(batch)
    counts = torch.bincount(codes[codes >= 0].long(), minlength=x.levels or 2) + 1
    return (counts / counts.sum()).log().to(codes.dtype)
