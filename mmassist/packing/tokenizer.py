"""Tokenizers of Llama 3's chat format: the committed tiny one, or a real one from its ``tokenizer.json``."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmassist.core.config import Why, build, transient
from mmassist.core.errors import ConfigError
from mmassist.core.fingerprint import bytes_digest, digest
from mmassist.packing.tiny_tokenizer import build_tiny_tokenizer, tiny_revision
from mmassist.packing.token_cache import TokenCache, splits_before_blanks

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

TINY = "tiny"
BOS, EOT = "<|begin_of_text|>", "<|eot_id|>"
START_HEADER, END_HEADER = "<|start_header_id|>", "<|end_header_id|>"
BEFORE_CONTENT = "\n\n"  # behind a header


@dataclass(frozen=True)
class TokenizerConfig:
    """Which tokenizer makes the ids. ``path`` may move: its content is what enters the fingerprint."""

    name: str
    path: str | None = transient(None, why=Why.PLACE)  # tokenizer.json or its folder; none for `tiny`
    image_token: str = "<image>"

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name is empty")
        if not self.image_token.strip():
            raise ValueError(f"image_token is {self.image_token!r}; it must be a visible string such as '<image>'")


def build_tokenizer_config(values: Mapping[str, Any], section: str) -> TokenizerConfig:
    """Make the config from plain values. Raises ConfigError naming the key at fault."""
    return build(TokenizerConfig, values, section)


def check_tokenizer(config: TokenizerConfig) -> None:
    """Raise ConfigError when the tokenizer's file is certain to be missing; loads no heavy package."""
    if config.name != TINY:
        _tokenizer_json(config)


def tokenizer_revision(config: TokenizerConfig) -> str:
    """Digest of everything that decides the ids, for fingerprints."""
    content = tiny_revision() if config.name == TINY else bytes_digest(_tokenizer_json(config).read_bytes())
    return digest([content, config.image_token])


def build_tokenizer(config: TokenizerConfig) -> ChatTokenizer:
    """Load the tokenizer and add the image token. Raises ConfigError for a missing file or another chat format."""
    if config.name == TINY:
        backend = build_tiny_tokenizer()
    else:
        from tokenizers import Tokenizer as Backend

        backend = Backend.from_file(str(_tokenizer_json(config)))
    return ChatTokenizer(backend, config.name, config.image_token, tokenizer_revision(config))


def shared_tokenizer(config: TokenizerConfig) -> ChatTokenizer:
    """This process's tokenizer of that config and content: whatever setups are packed here share its cache of texts."""
    return _load_once(config, tokenizer_revision(config))


@functools.lru_cache(maxsize=1)
def _load_once(config: TokenizerConfig, revision: str) -> ChatTokenizer:
    return build_tokenizer(config)


def _tokenizer_json(config: TokenizerConfig) -> Path:
    if config.path is None:
        raise ConfigError(
            f"'tokenizer.path' is not set and tokenizer {config.name!r} needs it: fetch the file with "
            "'hf download meta-llama/Llama-3.1-8B-Instruct tokenizer.json --local-dir <folder>' and give "
            "tokenizer.path=<folder>, or use tokenizer=tiny"
        )
    path = Path(config.path)
    found = path / "tokenizer.json" if path.is_dir() else path
    if not found.is_file():
        raise ConfigError(
            f"'tokenizer.path' is {config.path!r}, where no tokenizer.json lies: fetch it with "
            "'hf download meta-llama/Llama-3.1-8B-Instruct tokenizer.json --local-dir <folder>', or use tokenizer=tiny"
        )
    return found


class ChatTokenizer:
    """Text to ids without any special token being read out of the text: ``<|eot_id|>`` typed by a user stays text.

    ``image_id`` is the first id after the tokenizer's own vocabulary unless the vocabulary already has the token.
    ``cache`` holds the contents of messages for all who pack with this tokenizer, whatever their other settings.
    """

    def __init__(self, backend: Backend, name: str, image_token: str, revision: str):
        from tokenizers import AddedToken

        self.name = name
        self.image_token = image_token
        self.revision = revision
        for token in (BOS, EOT, START_HEADER, END_HEADER):
            if backend.token_to_id(token) is None:
                raise ConfigError(f"tokenizer {name!r} has no token {token!r}; it must be of Llama 3's chat format")
        backend.add_special_tokens([AddedToken(image_token, special=True, normalized=False)])
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        self._backend = backend
        self.bos_id = self.token_id(BOS)
        self.eot_id = self.token_id(EOT)
        self.start_header_id = self.token_id(START_HEADER)
        self.end_header_id = self.token_id(END_HEADER)
        self.image_id = self.token_id(image_token)
        self.cache = TokenCache(self.encode_batch, splits_before_blanks(backend), BEFORE_CONTENT)
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=True)

    def token_id(self, token: str) -> int:
        """Id of a token that is known to be in the vocabulary. Raises KeyError otherwise."""
        found = self._backend.token_to_id(token)
        if found is None:
            raise KeyError(token)
        return int(found)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of plain texts, no token added."""
        return [e.ids for e in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode(self, text: str) -> list[int]:
        """Ids of one plain text, no token added."""
        return self.encode_batch([text])[0]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ``ids``, special tokens shown as they are written."""
        return str(self._backend.decode([int(i) for i in ids], skip_special_tokens=False))

    def encode_marked(self, text: str) -> list[int]:
        """Ids of a text in which special tokens are written out: the slow way, to compare with."""
        self._backend.encode_special_tokens = False
        try:
            return list(self._backend.encode(text, add_special_tokens=False).ids)
        finally:
            self._backend.encode_special_tokens = True
