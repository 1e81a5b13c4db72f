from __future__ import annotations

from pathlib import Path

import pytest

from mmassist.core.errors import ConfigError
from mmassist.llm import build_engine, build_llm_config, check_engine

VLLM = {"engine": "vllm", "name": "big", "model": "neuralmagic/Meta-Llama-3.1-70B-Instruct-FP8-dynamic"}


def test_the_scripted_engine_is_built_from_plain_values() -> None:
    config = build_llm_config({"engine": "scripted", "flaw_rate": 0}, "llm")
    engine = build_engine(config)
    assert (engine.name, engine.is_scripted, config.generator) == ("scripted", True, "scripted")
    engine.close()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "'llm.engine' is not set"),
        ({"engine": "vlm"}, "Did you mean 'vllm'"),
        ({"engine": "scripted", "flaw_rate": 2}, "flaw_rate is 2"),
        ({"engine": "scripted", "flow_rate": 0.1}, "unknown key 'llm.flow_rate'"),
        ({"engine": "scripted", "name": "a/b"}, "name is 'a/b'"),
        ({"engine": "vllm", "name": "x"}, "'llm.model' is not set"),
    ],
)
def test_mistakes_in_the_settings(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_llm_config(values, "llm")


def test_absent_weights_and_the_absent_engine_are_told_apart(tmp_path: Path) -> None:
    missing = build_llm_config(VLLM | {"model": str(tmp_path / "weights")}, "llm")
    with pytest.raises(ConfigError, match="weights not found at that path") as found:
        check_engine(missing)
    assert str(tmp_path / "weights") in str(found.value)
    for model in (str(tmp_path), VLLM["model"]):
        with pytest.raises(ConfigError, match="not available in this version; use llm=scripted") as found:
            build_engine(build_llm_config(VLLM | {"model": model}, "llm"))
        assert "\n" not in str(found.value)
