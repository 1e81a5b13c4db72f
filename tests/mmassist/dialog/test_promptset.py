from __future__ import annotations

from pathlib import Path

import pytest

from mmassist.core.errors import ConfigError
from mmassist.dialog.promptset import BUILT_IN, load_prompt_set
from mmassist.dialog.templates import GUIDANCE, TEXTS, VERSIONS

KEY = "generate.prompts"


def written(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_without_a_file_the_wording_is_the_built_in_one() -> None:
    assert load_prompt_set(None, KEY) is BUILT_IN
    assert (BUILT_IN.digest, BUILT_IN.template_of("dialog")) == (None, f"dialog/{VERSIONS['dialog']}")


def test_texts_are_replaced_by_name_nested_or_with_dots(tmp_path: Path) -> None:
    nested = load_prompt_set(written(tmp_path, "user_behaviour:\n  no_talk: nods.\nguidance: {wtag: Be kind.}\n"), KEY)
    dotted = load_prompt_set(written(tmp_path, "guidance.wtag: |\n  Be kind.\nuser_behaviour.no_talk: 'nods.'\n"), KEY)
    assert nested == dotted
    assert nested.fill("user_behaviour.no_talk") == "nods."
    assert nested.fill("guidance.wtag") == "Be kind.\n" and GUIDANCE["wtag"].endswith("\n")
    assert nested.fill("guidance.holoassist") == GUIDANCE["holoassist"]


def test_the_digest_is_of_the_words_and_shows_in_template_names(tmp_path: Path) -> None:
    first = load_prompt_set(written(tmp_path, "system.plain: Be brief.\n"), KEY)
    again = load_prompt_set(written(tmp_path, "# ours\nsystem: {plain: Be brief.}\n"), KEY)
    other = load_prompt_set(written(tmp_path, "system.plain: Be long.\n"), KEY)
    assert first.digest == again.digest != other.digest
    assert first.digest is not None
    assert first.template_of("goal") == f"goal/{VERSIONS['goal']}+{first.digest[:8]}"


def test_placeholders_are_filled_in_and_dollars_kept(tmp_path: Path) -> None:
    own = load_prompt_set(written(tmp_path, "summary: '$dialog ... $$5? $format'\n"), KEY)
    assert own.fill("summary", dialog="Hi.", format="As JSON.") == "Hi. ... $5? As JSON."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dialgo: x", "no text is called 'dialgo'. Did you mean 'dialog'?"),
        ("guidance: {wtga: x}", "no text is called 'guidance.wtga'. Did you mean 'guidance.wtag'?"),
        ("summary: $dialog", "'summary' lacks $format"),
        ("summary: $dialog $format $goal", "'summary' has the unknown placeholder $goal."),
        ("summary: $dialgo $format", "unknown placeholder $dialgo. Did you mean 'dialog'?"),
        ("system.plain: Hi $name", "unknown placeholder $name. This text has no placeholders."),
        ("summary: '$dialog $format costs $ 5'", "write $$ for a dollar sign"),
        ("summary: 5", "'summary' must be a text"),
        ("guidance: be kind", "guidance must be a mapping"),
        ("system.plain: ''", "'system.plain' is empty"),
        ("- dialog", "the file must be a mapping"),
        ("", "the file must be a mapping"),
        ("{}", "holds no texts"),
        ("a: [1\nb: {", "which is no YAML"),
    ],
)
def test_mistakes_in_a_set_are_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as found:
        load_prompt_set(path, KEY)
    assert message in str(found.value) and "\n" not in str(found.value)
    assert str(found.value).startswith(f"'generate.prompts' is {path!r}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00dialog")
    for path in (tmp_path / "absent.yaml", tmp_path, binary):
        with pytest.raises(ConfigError, match="cannot be read") as found:
            load_prompt_set(str(path), KEY)
        assert str(path) in str(found.value)


def test_every_built_in_text_is_a_template() -> None:
    from string import Template

    assert all(Template(text).is_valid() for text in TEXTS.values())
