"""Make a Llama of any size with random weights, its tokenizer and chat template: an engine's work without its sense.

    .venv-vllm/bin/python -m tools.bench.random_llama FOLDER [--width 64] [--layers 2]

Runs where torch and transformers are. The vocabulary is the small tokenizer's, or is learnt from texts that are given;
the same numbers give the same weights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmassist.packing.tiny_tokenizer import SPECIAL_TOKENS, build_tiny_tokenizer

MAX_VOCABULARY = 4096
HEAD_DIM = 32  # vLLM's attention on CPUs knows few others
CHAT_TEMPLATE = (
    "{{ '<|begin_of_text|>' }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def write_tokenizer(folder: Path, texts: Sequence[str] = ()) -> Any:
    """Write a tokenizer with Llama 3's form of a chat; returns it.

    With ``texts`` it has one token for most of their words, as large vocabularies have, and so do texts like them.
    """
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_learn(texts) if texts else build_tiny_tokenizer(),
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|finetune_right_pad_id|>",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


def _learn(texts: Sequence[str]) -> Any:
    from tokenizers import pre_tokenizers, trainers

    tokenizer = build_tiny_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=MAX_VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def write_model(
    folder: Path, width: int, layers: int, max_len: int = 32768, seed: int = 0, texts: Sequence[str] = ()
) -> int:
    """Write model and tokenizer into ``folder``; returns the number of parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = write_tokenizer(folder, texts)
    heads = max(2, width // HEAD_DIM)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width * 7 // 2,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 4),
        head_dim=HEAD_DIM,
        max_position_embeddings=max_len,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model: Any = LlamaForCausalLM(config)
    model.to(torch.bfloat16)
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> int:
    """Make the model."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.random_llama", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=64, help="a multiple of 32")
    parser.add_argument("--layers", type=int, default=2)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    number = write_model(arguments.folder, arguments.width, arguments.layers)
    print(f"{arguments.folder}: {number / 1e6:.1f} M parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
