"""Make ``import torchvision`` work beside a CPU build of torch.

The torchvision wheel on package indices links CUDA libraries. Beside a CPU torch its C++ extension silently does not
load, and the import then fails while it registers shape functions for operators that do not exist. Declaring those two
operators is enough: the Python part (transforms, what timm and open_clip import) needs nothing compiled.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_UNDECLARED = ("nms", "qnms")  # the operators torchvision registers without looking whether its extension loaded
_kept_alive: list[Any] = []  # a torch Library withdraws its operators when it is collected


def ensure_torchvision() -> ModuleType:
    """Import torchvision, curing a failed import first; call before open_clip, timm or transformers' image code.

    Harmless where torchvision works, when called twice, and after an import that has already failed.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    import torch

    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
    if not _kept_alive:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in _UNDECLARED:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept_alive.append(library)
    return importlib.import_module("torchvision")
