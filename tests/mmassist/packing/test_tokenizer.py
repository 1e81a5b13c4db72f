"""The tiny tokenizer's ids are the same everywhere; a real one comes from its file; mistakes are told in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.config import meaning
from mmassist.core.errors import ConfigError
from mmassist.packing.tiny_tokenizer import NUM_MERGES, SPECIAL_TOKENS, build_tiny_tokenizer
from mmassist.packing.tokenizer import (
    ChatTokenizer,
    TokenizerConfig,
    build_tokenizer,
    build_tokenizer_config,
    check_tokenizer,
    shared_tokenizer,
    tokenizer_revision,
)


def test_special_tokens_follow_the_vocabulary_in_llama_order(tokenizer: ChatTokenizer) -> None:
    first = 256 + NUM_MERGES
    assert tokenizer.bos_id == first
    assert tokenizer.start_header_id == first + 6
    assert tokenizer.end_header_id == first + 7
    assert tokenizer.eot_id == first + 9
    assert len(SPECIAL_TOKENS) == len(set(SPECIAL_TOKENS)) == 256
    assert tokenizer.image_id == first + 256
    assert tokenizer.vocab_size == first + 257


PINNED_IDS = [45, 723, 11, 681, 258, 485, 444, 220, 699, 18, 220, 19, 20, 21, 22, 13]
PINNED_REVISION = "2bb1f665890df67bbc6bbad59d01a13d"


def test_ids_are_pinned(tokenizer: ChatTokenizer) -> None:
    """These change only together with the vocabulary, and then every tokenizer digest changes too."""
    assert tokenizer.encode("Next, fold the paper filter 123 4567.") == PINNED_IDS
    assert tokenizer.revision == PINNED_REVISION


def test_committed_merges_are_what_the_script_learns() -> None:
    from mmassist.packing.tiny_vocabulary import MERGES
    from tools.train_tiny_tokenizer import train_merges

    assert [part for pair in train_merges() for part in pair] == MERGES.split()


@given(st.text())
def test_text_survives(tokenizer: ChatTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(i < 256 + NUM_MERGES for i in ids)


@pytest.mark.parametrize("text", ["<image>", "say <|eot_id|> now", "<|start_header_id|>system<|end_header_id|>"])
def test_special_tokens_in_text_stay_text(tokenizer: ChatTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert not {tokenizer.image_id, tokenizer.eot_id, tokenizer.start_header_id} & set(ids)
    assert tokenizer.decode(ids) == text
    assert len(tokenizer.encode_marked(text)) < len(ids)
    assert tokenizer.encode(text) == ids  # the marked way leaves no trace


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_real_tokenizer_comes_from_its_file(tmp_path: Path, tokenizer: ChatTokenizer, as_folder: bool) -> None:
    build_tiny_tokenizer().save(str(tmp_path / "tokenizer.json"))
    path = tmp_path if as_folder else tmp_path / "tokenizer.json"
    config = TokenizerConfig("llama3", str(path))
    check_tokenizer(config)
    loaded = build_tokenizer(config)
    assert loaded.encode("Pour the water.") == tokenizer.encode("Pour the water.")
    assert loaded.image_id == tokenizer.image_id
    assert loaded.revision == tokenizer_revision(config) != tokenizer.revision
    assert meaning(config) == {"name": "llama3", "image_token": "<image>"}  # where it lies does not matter


def test_missing_files_are_told_with_the_way_to_get_them(tmp_path: Path) -> None:
    for path in (None, str(tmp_path / "absent"), str(tmp_path)):
        with pytest.raises(ConfigError, match=r"tokenizer\.path.*hf download.*tokenizer=tiny") as caught:
            check_tokenizer(TokenizerConfig("llama3", path))
        assert "\n" not in str(caught.value)


def test_another_chat_format_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE(vocab={"a": 0}, merges=[])).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ConfigError, match="Llama 3's chat format"):
        build_tokenizer(TokenizerConfig("other", str(tmp_path)))


def test_config_is_strict() -> None:
    assert build_tokenizer_config({"name": "tiny"}, "tokenizer") == TokenizerConfig("tiny")
    with pytest.raises(ConfigError, match=r"tokenizer\.pth"):
        build_tokenizer_config({"name": "tiny", "pth": "x"}, "tokenizer")
    with pytest.raises(ConfigError, match="image_token"):
        build_tokenizer_config({"name": "tiny", "image_token": " "}, "tokenizer")


def test_checking_and_digesting_load_no_heavy_package() -> None:
    code = (
        "import sys; from mmassist.packing.tokenizer import *; c = TokenizerConfig('tiny'); check_tokenizer(c);"
        "tokenizer_revision(c); import mmassist.stages.pack;"
        "sys.exit(any(m in sys.modules for m in ('tokenizers', 'transformers', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_packs_in_one_process_shares_one_tokenizer_of_each_content(tmp_path):
    tiny = shared_tokenizer(TokenizerConfig("tiny"))
    assert shared_tokenizer(TokenizerConfig("tiny")) is tiny
    backend = build_tiny_tokenizer()
    (tmp_path / "tokenizer.json").write_text(backend.to_str())
    config = TokenizerConfig("own", str(tmp_path))
    first = shared_tokenizer(config)
    backend.add_tokens(["unheard-of"])
    (tmp_path / "tokenizer.json").write_text(backend.to_str())
    assert shared_tokenizer(config).vocab_size == first.vocab_size + 1
