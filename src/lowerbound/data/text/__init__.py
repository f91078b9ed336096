"""Text as a condition: encoders by name, from texts to vectors in which like meanings have like vectors."""

from lowerbound.data.text.captions import Captions, Unknown, read_captions
from lowerbound.data.text.encoder import TextEncoder
from lowerbound.data.text.named import ENCODERS, encoder

__all__ = ["ENCODERS", "Captions", "TextEncoder", "Unknown", "encoder", "read_captions"]
