"""Sources: one module per published data set, found by its name.

A source is a module ``mmassist.datasets.<name>`` with a frozen dataclass ``Config`` (first field ``name``) and a class
``Adapter(config, data_root, compat)``. CONTRIBUTING.md shows how to add one; nothing has to be edited for it.

Rooms of this package: ``<name>.py`` is a source, ``<name>_<part>.py`` a part of it (``ego4d_files`` serves both sources
of Ego4D). Shared by all: ``base`` (configs and adapters), ``source`` (a publisher's folder, its items), ``span``
(times), ``json_file`` and ``table`` (large files, entry by entry), ``row_steps`` (tables with one action a row),
``caption_group`` and ``caption_text`` (captions of pictures and clips). ``assignment`` puts recordings on the sides of
the split.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mmassist.core.adapter import Adapter
from mmassist.core.config import build, nearest
from mmassist.core.errors import ConfigError
from mmassist.datasets.base import SourceAdapter

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def list_datasets() -> list[str]:
    """Names of all sources, sorted: the modules of this package that define ``Config`` and ``Adapter``."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if _source_module(name) is not None)


def adapter_class(name: str) -> type[SourceAdapter]:
    """The class of a source's adapter, which says what the source holds; nothing is read."""
    found: type[SourceAdapter] = _module(name, "dataset.name").Adapter
    return found


def build_dataset_config(values: Mapping[str, Any], section: str) -> Any:
    """Make the config dataclass of the source called ``values["name"]``.

    Raises ConfigError for a missing or unknown name (with the nearest valid one) and for what ``core.config.build``
    refuses.
    """
    name = values.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"'{section}.name' is not set; choose one of {', '.join(list_datasets())}")
    return build(_module(name, f"{section}.name").Config, values, section)


def build_adapter(config: Any, data_root: Path, compat: bool) -> Adapter:
    """Make the adapter that ``config`` belongs to. Reads nothing yet.

    ``data_root`` is DATA_ROOT_DIR. ``compat`` switches the parsing rules of the reference on, for comparison only.
    """
    adapter: Adapter = _module(config.name, "dataset.name").Adapter(config, Path(data_root), compat)
    return adapter


def _module(name: str, key: str) -> ModuleType:
    module = _source_module(name)
    if module is None:
        raise ConfigError(
            f"'{key}' is {name!r}, which is no data set: there is no mmassist/datasets/{name}.py with Config and "
            f"Adapter.{nearest(name, list_datasets())}"
        )
    return module


def _source_module(name: str) -> ModuleType | None:
    if not _NAME.fullmatch(name) or importlib.util.find_spec(f"{__name__}.{name}") is None:
        return None
    module = importlib.import_module(f"{__name__}.{name}")
    return module if hasattr(module, "Adapter") and hasattr(module, "Config") else None
