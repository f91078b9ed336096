"""Plain networks: perceptrons, convolutional and residual encoders and decoders. They know no probability."""

from lowerbound.nets.build import KINDS, SUGGESTED_HIDDEN, decoder, encoder
from lowerbound.nets.leading import Leading, join
from lowerbound.nets.mlp import ACTIVATIONS, LayeredEncoder, activate, perceptron

__all__ = [
    "ACTIVATIONS",
    "KINDS",
    "SUGGESTED_HIDDEN",
    "LayeredEncoder",
    "Leading",
    "activate",
    "decoder",
    "encoder",
    "join",
    "perceptron",
]
