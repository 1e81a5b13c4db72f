"""What all engines have in common as settings. Each engine's own settings stand beside the engine."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from mmassist.llm.protocol import Engine

_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class EngineConfig(ABC):
    """Base of the engines' settings. ``name`` becomes a folder below ``generated_dialogs/``."""

    engine: str
    name: str

    is_scripted: ClassVar[bool] = False  # marks data that no model has written

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}; it must consist of letters, digits, '_' and '-'")

    @property
    @abstractmethod
    def generator(self) -> str:
        """What records name as the author."""

    @property
    @abstractmethod
    def revision(self) -> str:
        """Identity of the model for fingerprints; loads nothing heavy."""

    @property
    def has_schemas(self) -> bool:
        """Whether answers follow a JSON Schema; without, prompts ask for lines of text."""
        return True

    @property
    def interpreter(self) -> str | None:
        """The Python that the process with the engine has to run under; None: any."""
        return None

    @property
    def secret_name(self) -> str | None:
        """The environment variable that holds the engine's key. The key itself is never part of any settings."""
        return None

    @property
    def num_gpus(self) -> int:
        """GPUs that one engine takes."""
        return 0

    def environment(self) -> dict[str, str]:
        """Environment variables of the process with the engine."""
        return {}

    @abstractmethod
    def check(self, section: str = "llm") -> None:
        """Raise ConfigError, in one line, for what is certain to fail when the engine is loaded; loads nothing.

        ``section`` is where the settings stand, for messages.
        """

    @abstractmethod
    def load(self, secret: str | None) -> Engine:
        """The engine. Raises ConfigError or StageError when it cannot be had."""
