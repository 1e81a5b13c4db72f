"""Weights of a vision tower on disk: finding, recognising and reading them without building anything.

Two layouts are known: one checkpoint file, or the folder that the hub serves for it: of open_clip
(``open_clip_config.json`` beside ``open_clip_model.safetensors`` or ``open_clip_pytorch_model.bin``) or of timm
(``config.json`` beside ``model.safetensors`` or ``pytorch_model.bin``).
"""

from __future__ import annotations

import functools
import hashlib
import json
import struct
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmassist.core.errors import ConfigError, StageError

if TYPE_CHECKING:
    from torch import Tensor

VISUAL = "visual."
PREFIX = f"{VISUAL}trunk."
SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
FOLDER_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
TIMM_FOLDER_NAMES = ("model.safetensors", "pytorch_model.bin")
FOLDER_CONFIG = "open_clip_config.json"
Choose = Callable[[Collection[str]], Mapping[str, str]]
_MIB = 1 << 20
_NUM_SAMPLES, _SAMPLE_BYTES = 64, 1 << 16
_MAX_HEADER_BYTES = 100 * _MIB  # the format's own limit


def find_weights(path: Path, names: Sequence[str] = FOLDER_NAMES) -> Path | None:
    """The checkpoint that ``path`` is, or holds under one of ``names``; None when there is none."""
    if path.is_dir():
        return next((path / name for name in names if (path / name).is_file()), None)
    return path if path.is_file() else None


def locate_weights(value: str | None, names: Sequence[str], remedy: str) -> Path:
    """The checkpoint that ``encoder.path`` names. Raises ConfigError, ending with ``remedy``, when it is not there."""
    if value is None:
        raise ConfigError(f"'encoder.path' is not set: {remedy}")
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise ConfigError(f"'encoder.path' is {value!r}; it must be absolute, since jobs start in other folders")
    found = find_weights(path, names)
    if found is None:
        raise ConfigError(f"'encoder.path' is {value!r}, where no weights are: {remedy}")
    return found


def check_weights(path: Path, model: str, pos_embed: tuple[int, ...]) -> None:
    """Raise ConfigError when ``path`` certainly holds something else than open_clip's ``model``.

    ``pos_embed`` is the shape that tells the architecture. Only what can be seen without unpickling is looked at.
    """
    check_suffix(path)
    _check_preprocessing(path.parent / FOLDER_CONFIG, model)
    if path.suffix != ".safetensors":
        return
    shapes = read_shapes(path)
    shape = shapes.get(f"{PREFIX}pos_embed", shapes.get("pos_embed"))
    if shape is None:
        raise ConfigError(f"'encoder.path' is {str(path)!r}, which has no '{PREFIX}*' tensors; open_clip's {model} has")
    if tuple(shape) != pos_embed:
        raise ConfigError(f"'encoder.path' is {str(path)!r}, another model: positions {shape}, {model} has {pos_embed}")


def _check_preprocessing(config_path: Path, model: str) -> None:
    """Frames are scaled by mean and deviation 0.5 at 384 pixels; a folder that says otherwise is another model."""
    values = read_folder_config(config_path).get("preprocess_cfg") or {}
    for key in ("mean", "std"):
        if key in values and any(v != 0.5 for v in values[key]):
            raise ConfigError(f"'encoder.path': {str(config_path)!r} has {key} {values[key]}; {model} has 0.5")


def check_suffix(path: Path) -> None:
    """Raise ConfigError for a file that is no checkpoint by its name."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"'encoder.path' is {str(path)!r}; weights must be one of {', '.join(SUFFIXES)}")


def read_folder_config(path: Path) -> dict[str, Any]:
    """The JSON file that the hub serves beside weights; empty where there is none. Raises ConfigError."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"'encoder.path': {str(path)!r} is no configuration of a model: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"'encoder.path': {str(path)!r} is no configuration of a model: it holds no object")
    return values


def read_shapes(path: Path) -> dict[str, list[int]]:
    """Tensor shapes of a safetensors file: an 8-byte length and a JSON header stand before the data."""
    with path.open("rb") as file:
        start = file.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        header = file.read(size) if 0 < size <= _MAX_HEADER_BYTES else b""
    try:
        return {name: entry["shape"] for name, entry in json.loads(header).items() if name != "__metadata__"}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ConfigError(f"'encoder.path' is {str(path)!r}, which is not a whole safetensors file") from error


def weights_digest(path: Path) -> str:
    """Identity of a checkpoint: its size, its first and last MiB and 64 samples between, in milliseconds.

    Reading gigabytes at every plan would only detect changes that no training run makes.
    """
    stat = path.stat()
    return _digest_of(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _digest_of(path: Path, size: int, mtime_ns: int) -> str:
    total = hashlib.sha256(str(size).encode())
    windows = [(0, _MIB), (max(0, size - _MIB), _MIB)]
    windows += [(size * i // _NUM_SAMPLES, _SAMPLE_BYTES) for i in range(_NUM_SAMPLES)]
    with path.open("rb") as file:
        for offset, length in windows:
            file.seek(offset)
            total.update(file.read(length))
    return total.hexdigest()[:32]


def read_trunk(path: Path) -> dict[str, Tensor]:
    """The vision transformer's tensors by their own names; a text half in the file is not read.

    Raises StageError when the file cannot be read or holds no such tensors.
    """
    return _read(path, PREFIX, is_own=lambda names: "pos_embed" in names)


def read_visual(path: Path) -> dict[str, Tensor]:
    """The tensors of open_clip's vision half by their own names. Raises StageError as ``read_trunk`` does."""
    return _read(path, VISUAL, is_own=lambda names: False)


def read_whole(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint. Raises StageError when it cannot be read."""
    return _read(path, "", is_own=lambda names: True)


def _read(path: Path, prefix: str, is_own: Callable[[Collection[str]], bool]) -> dict[str, Tensor]:
    """Tensors below ``prefix``, with all of them in a file of the part alone."""

    def choose(names: Collection[str]) -> Mapping[str, str]:
        """Name in the model -> name in the file, which may be wrapped (``module.``)."""
        if is_own(names):
            return {name: name for name in names}
        wrapped = {name.removeprefix("module."): name for name in names}
        return {bare.removeprefix(prefix): name for bare, name in wrapped.items() if bare.startswith(prefix)}

    state = _read_safetensors(path, choose) if path.suffix == ".safetensors" else _read_pickle(path, choose)
    if not state:
        raise StageError(f"{path} has no '{prefix}*' tensors")
    return state


def _read_safetensors(path: Path, choose: Choose) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(full) for name, full in choose(list(file.keys())).items()}
    except (OSError, SafetensorError) as error:
        raise StageError(f"{path} cannot be read: {error}") from error


def _read_pickle(path: Path, choose: Choose) -> dict[str, Tensor]:
    import pickle

    import torch

    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise StageError(f"{path} cannot be read: {' '.join(str(error).split())[:300]}") from error
    for key in ("state_dict", "model"):  # a training checkpoint
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict):
        raise StageError(f"{path} holds a {type(found).__name__}, not named tensors")
    return {name: found[full] for name, full in choose(found).items()}
