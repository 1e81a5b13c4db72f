"""A language model's files on disk: finding, checking and recognising them without loading anything."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from mmassist.core.errors import ConfigError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json")
INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SETTINGS = (".json", ".jinja", ".model", ".tiktoken")  # configuration, chat template, tokenizer; and merges.txt
_WEIGHTS = (".safetensors", ".bin")
_WHOLE_BYTES = 1 << 26  # files up to here are hashed whole, larger ones by pieces
_PIECE_BYTES = 1 << 16
_NUM_PIECES = 32


def find_model(model: str, setting: str) -> Path:
    """The folder of ``model``, an absolute path or a hub id whose files lie in this machine's hub cache.

    Raises ConfigError naming ``setting`` and what is missing, also for half a download.
    """
    try:
        folder = Path(model).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"'{setting}' is {model!r}: {error}") from error
    if not folder.is_dir() and HUB_ID.fullmatch(model):
        folder = _find_cached(model, setting)
    elif not folder.is_absolute():
        raise ConfigError(f"'{setting}' is {model!r}; a path must be absolute, since jobs start in other folders")
    if not folder.is_dir():
        raise ConfigError(f"'{setting}' is {model!r}: weights not found at that path")
    missing = _missing_files(folder, setting)
    if missing:
        raise ConfigError(f"'{setting}' is {model!r}: {folder} has no {missing}")
    return folder


def model_digest(folder: Path) -> str:
    """Identity of a model: its configuration, tokenizer, template and weights, wherever they lie.

    Of large files size and pieces at even distances count: fine-tunes of one model agree in size, in header and often
    in the first tensors, and reading a large model whole would take minutes.
    """
    total = hashlib.sha256()
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        is_part = path.suffix in (*_SETTINGS, *_WEIGHTS) or path.name == "merges.txt"
        if not is_part or not path.is_file():
            continue
        total.update(f"{path.name} {path.stat().st_size}\n".encode())
        for piece in _iter_pieces(path):
            total.update(piece)
    return total.hexdigest()[:32]


def _iter_pieces(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            yield file.read()
            return
        for number in range(_NUM_PIECES):
            file.seek((size - _PIECE_BYTES) * number // (_NUM_PIECES - 1))
            yield file.read(_PIECE_BYTES)


def _find_cached(model: str, setting: str) -> Path:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, "config.json")
    except HFValidationError as error:
        raise ConfigError(f"'{setting}' is {model!r}, which is neither a folder nor a hub id") from error
    if not isinstance(found, str):
        raise ConfigError(
            f"'{setting}' is {model!r}, which is not in the hub cache: download it "
            f"(`hf download {model}`), or give the folder with its weights"
        )
    return Path(found).parent


def _missing_files(folder: Path, setting: str) -> str:
    """What a model's folder lacks, "" if nothing. Raises ConfigError for an index of weights that cannot be read."""
    if not (folder / "config.json").is_file():
        return "config.json"
    if not any((folder / name).is_file() for name in TOKENIZERS):
        return f"tokenizer ({', '.join(TOKENIZERS)})"
    index = next((folder / name for name in INDICES if (folder / name).is_file()), None)
    if index is not None:
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
            absent = [name for name in names if not (folder / name).is_file()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"'{setting}': {index} cannot be read ({type(error).__name__}: {error})") from error
        more = f" and {len(absent) - 1} more weight files that its index names" if len(absent) > 1 else ""
        return f"{absent[0]}{more}" if absent else ""
    has_weights = any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin"))
    return "" if has_weights else "weights (*.safetensors)"
