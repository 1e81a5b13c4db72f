"""The texts that prompts are made of: the built-in ones, or a file that replaces some of them by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from mmassist.core.config import nearest
from mmassist.core.errors import ConfigError
from mmassist.core.fingerprint import digest
from mmassist.dialog.templates import TEXTS, VERSIONS

_MAY_BE_EMPTY = "guidance."


@dataclass(frozen=True)
class PromptSet:
    """Texts by name. ``digest`` identifies those that differ from the built-in ones; None where none does."""

    texts: Mapping[str, str]
    digest: str | None = None

    def fill(self, name: str, **values: str) -> str:
        """The text ``name`` with its placeholders filled in."""
        return Template(self.texts[name]).substitute(values)

    def template_of(self, kind: str) -> str:
        """``dialog/1``, or ``dialog/1+0a1b2c3d`` for a set of one's own: what answers and errors name."""
        version = f"{kind}/{VERSIONS[kind]}"
        return version if self.digest is None else f"{version}+{self.digest[:8]}"


BUILT_IN = PromptSet(TEXTS)


def load_prompt_set(path: str | None, key: str) -> PromptSet:
    """Read a YAML file of texts, nested (``guidance: {wtag: ...}``) or with dots (``guidance.wtag: ...``).

    Line ends behind a text are those of the text it replaces, whatever the file's block style adds. Raises ConfigError,
    naming ``key`` and the file, for a file that cannot be read, unknown names, and placeholders that are missing or
    that nobody fills in.
    """
    if path is None:
        return BUILT_IN
    where = f"'{key}' is {path!r}"
    own = dict(_iter_texts(_read(path, where), "", where))
    if not own:
        raise ConfigError(f"{where}, which holds no texts")
    for name, text in own.items():
        _check_text(name, text, where)
    own = {name: _ended_like(TEXTS[name], text) for name, text in own.items()}
    return PromptSet({**TEXTS, **own}, digest(own))


def _read(path: str, where: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}, which cannot be read: {' '.join(str(error).split())}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}, which is no YAML: {' '.join(str(error).split())}") from error


def _iter_texts(value: Any, prefix: str, where: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: {prefix.rstrip('.') or 'the file'} must be a mapping of names to texts")
    for part, text in value.items():
        name = f"{prefix}{part}"
        if name in TEXTS:
            if not isinstance(text, str):
                raise ConfigError(f"{where}: '{name}' must be a text")
            yield name, text
        elif any(known.startswith(f"{name}.") for known in TEXTS):
            yield from _iter_texts(text, f"{name}.", where)
        else:
            raise ConfigError(f"{where}: no text is called '{name}'.{nearest(name, TEXTS)}")


def _check_text(name: str, text: str, where: str) -> None:
    if not text.strip() and not name.startswith(_MAY_BE_EMPTY):
        raise ConfigError(f"{where}: '{name}' is empty")
    template, expected = Template(text), set(Template(TEXTS[name]).get_identifiers())
    if not template.is_valid():
        raise ConfigError(f"{where}: '{name}' has a $ that begins no placeholder; write $$ for a dollar sign")
    found = set(template.get_identifiers())
    for placeholder in sorted(found - expected):
        hint = nearest(placeholder, expected) if expected else " This text has no placeholders."
        raise ConfigError(f"{where}: '{name}' has the unknown placeholder ${placeholder}.{hint}")
    if expected - found:
        missing = ", ".join(f"${placeholder}" for placeholder in sorted(expected - found))
        raise ConfigError(f"{where}: '{name}' lacks {missing}")


def _ended_like(built_in: str, text: str) -> str:
    text = text.rstrip("\n")
    return text + "\n" * (len(built_in) - len(built_in.rstrip("\n"))) if text else ""
