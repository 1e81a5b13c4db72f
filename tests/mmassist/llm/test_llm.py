from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import pytest
import yaml

from mmassist.core.config import meaning
from mmassist.core.errors import ConfigError
from mmassist.llm import ENGINE_CONFIGS, build_engine, build_llm_config
from mmassist.llm.config import EngineConfig

CONF = Path(__file__).resolve().parents[3] / "conf" / "llm"
VALUES: dict[str, dict[str, object]] = {
    "scripted": {"engine": "scripted"},
    "openai": {"engine": "openai", "model": "m"},
    "vllm": {"engine": "vllm", "name": "big", "model": "/weights/big"},
}


def test_engines_are_listed_under_the_name_their_settings_ask_for() -> None:
    assert ENGINE_CONFIGS.keys() == VALUES.keys()
    for name, config in ENGINE_CONFIGS.items():
        assert typing.get_args(typing.get_type_hints(config)["engine"]) == (name,)


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_shipped_sets_every_value_and_explains_it(path: Path) -> None:
    values = yaml.safe_load(path.read_text())
    config = build_llm_config(values, "llm")
    assert type(config) is ENGINE_CONFIGS[values["engine"]]
    assert list(values) == [field.name for field in dataclasses.fields(config)]
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert all(" # " in line for line in lines)


@pytest.mark.parametrize("name", VALUES)
def test_what_all_engines_have(name: str) -> None:
    config = build_llm_config(VALUES[name], "llm")
    assert (config.engine, config.name) == (name, VALUES[name].get("name", name))
    assert config.generator and isinstance(config.has_schemas, bool)
    assert config.is_scripted == (name == "scripted")
    assert config.num_gpus == (4 if name == "vllm" else 0)
    assert config.secret_name is None and config.interpreter is None
    assert all(isinstance(value, str) for value in config.environment().values())
    assert meaning(config)["engine"] == name


def test_the_scripted_engine_is_built_from_plain_values() -> None:
    config = build_llm_config({"engine": "scripted", "flaw_rate": 0}, "llm")
    engine = build_engine(config)
    assert (engine.name, engine.is_scripted, config.generator) == ("scripted", True, "scripted")
    assert engine.revision == config.revision
    engine.close()


def test_an_engine_is_checked_before_it_is_built(tmp_path: Path) -> None:
    weights = str(tmp_path / "weights")
    for values, message in (
        (VALUES["vllm"] | {"model": weights}, f"'llm.model' is '{weights}': weights not found at that path"),
        (VALUES["openai"] | {"model": None}, "'llm.model' is not set"),
    ):
        config = build_llm_config(values, "llm")
        with pytest.raises(ConfigError, match=message):
            build_engine(config)
        with pytest.raises(ConfigError, match=message.replace("llm.", "judge_llm.")) as found:
            config.check("judge_llm")
        assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "'llm.engine' is not set; choose one of openai, scripted, vllm"),
        ({"engine": None}, "'llm.engine' is not set"),
        ({"engine": "vlm"}, "Did you mean 'vllm'"),
        ({"engine": 3}, "'llm.engine' is 3"),
        ({"engine": ["vllm"]}, "'llm.engine' is"),
        ({"engine": "scripted", "flaw_rate": 2}, "flaw_rate is 2"),
        ({"engine": "scripted", "flow_rate": 0.1}, r"unknown key 'llm.flow_rate'. Did you mean 'flaw_rate'"),
        ({"engine": "scripted", "name": "a/b"}, "name is 'a/b'"),
        ({"engine": "scripted", "name": ""}, "name is ''"),
        ({"engine": "openai", "flaw_rate": 0.1}, "unknown key 'llm.flaw_rate'"),
        ({"engine": "openai", "api_key": "sk-1"}, "unknown key 'llm.api_key'"),
        ({"engine": "vllm", "name": "x"}, "'llm.model' is not set"),
        ({"engine": "vllm", "name": "x", "model": "/m", "tensor_parallel": 0}, "tensor_parallel is 0"),
        ({"engine": "vllm", "name": "x", "model": "/m", "device": "tpu"}, "'llm.device' is 'tpu'"),
        (
            {"engine": "vllm", "name": "x", "model": "/m", "gpu_memory_utilization": 1.5},
            "gpu_memory_utilization is 1.5",
        ),
    ],
)
def test_mistakes_in_the_settings(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_llm_config(values, "llm")


def test_settings_that_cannot_change_an_answer_stay_out_of_the_fingerprint() -> None:
    changes: list[tuple[str, str, object]] = [
        ("vllm", "model", "/moved/big"),
        ("vllm", "python", "/other/bin/python"),
        ("vllm", "max_num_seqs", 3),
        ("vllm", "gpu_memory_utilization", 0.5),
        ("openai", "base_url", "http://other:1/v1"),
        ("openai", "key_variable", "KEY"),
        ("openai", "max_in_flight", 3),
        ("openai", "max_tokens_field", "max_completion_tokens"),
    ]
    for name, key, value in changes:
        first, second = build_llm_config(VALUES[name], "llm"), build_llm_config(VALUES[name] | {key: value}, "llm")
        assert meaning(first) == meaning(second)
    for name, key, value in (("vllm", "dtype", "float16"), ("openai", "model", "n"), ("scripted", "flaw_rate", 0.5)):
        first, second = build_llm_config(VALUES[name], "llm"), build_llm_config(VALUES[name] | {key: value}, "llm")
        assert meaning(first) != meaning(second)


def test_settings_are_plain_values_that_cannot_be_changed() -> None:
    for values in VALUES.values():
        config: EngineConfig = build_llm_config(values, "llm")
        with pytest.raises(dataclasses.FrozenInstanceError):
            config.name = "other"  # type: ignore[misc]
