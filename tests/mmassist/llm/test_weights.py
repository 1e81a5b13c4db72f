from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmassist.core.errors import ConfigError
from mmassist.llm import build_llm_config, weights
from mmassist.llm.vllm_engine import VllmConfig
from mmassist.llm.weights import find_model, model_digest

HUB_ID = "some-org/Some-Model_1.5"
SHARDS = ("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors")


def make_model(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    """What a model's folder looks like, with next to nothing in its files."""
    folder.mkdir(parents=True)
    for name, content in ({"model.safetensors": b"\x00" * 64} if files is None else files).items():
        (folder / name).write_bytes(content)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    return folder


def make_sharded(folder: Path) -> Path:
    index = {"metadata": {}, "weight_map": {f"layer.{n}": SHARDS[n % 3] for n in range(9)}}
    made = make_model(folder, {name: name.encode() for name in SHARDS})
    (made / weights.INDICES[0]).write_text(json.dumps(index))
    return made


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with one model in it, laid out as downloads lay it out."""
    import huggingface_hub.constants
    import huggingface_hub.file_download

    cache = tmp_path / "hub"
    place = cache / f"models--{HUB_ID.replace('/', '--')}"
    blobs = make_model(place / "blobs")
    snapshot = place / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    for blob in blobs.iterdir():
        (snapshot / blob.name).symlink_to(os.path.relpath(blob, snapshot))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0123abc")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return snapshot


@pytest.mark.parametrize("make", [make_model, make_sharded])
def test_a_folder_with_everything_in_it_is_found(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path / "model")
    assert find_model(str(folder), "llm.model") == folder


def test_a_folder_below_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = make_model(tmp_path / "models" / "one")
    assert find_model("~/models/one", "llm.model") == folder


def test_a_hub_id_is_looked_up_in_the_cache(hub: Path) -> None:
    assert find_model(HUB_ID, "llm.model") == hub
    (hub / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"has no weights"):
        find_model(HUB_ID, "llm.model")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("some-org/Other", r"which is not in the hub cache: download it \(`hf download some-org/Other`\)"),
        ("some-org/Bad..Name", "neither a folder nor a hub id"),
        ("some-org/Bad--Name", "neither a folder nor a hub id"),
        ("weights", "a path must be absolute"),
        ("./models/one", "a path must be absolute"),
        ("some/deep/folder", "a path must be absolute"),
        ("", "a path must be absolute"),
        ("/nowhere/at/all", "weights not found at that path"),
        ("~no-such-user-here/model", "llm.model"),
    ],
)
def test_what_is_no_model(model: str, message: str, hub: Path) -> None:
    with pytest.raises(ConfigError, match=message) as found:
        find_model(model, "llm.model")
    assert str(found.value).startswith(f"'llm.model' is {model!r}") and "\n" not in str(found.value)


def test_a_relative_folder_is_refused_even_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "models" / "one")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="a path must be absolute"):
        find_model("models/one", "llm.model")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("")
    with pytest.raises(ConfigError, match="weights not found at that path"):
        find_model(str(tmp_path / "model.gguf"), "llm.model")


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        (["config.json"], "has no config.json"),
        (["tokenizer.json"], r"has no tokenizer \(tokenizer.json, tokenizer.model"),
        (["model.safetensors"], r"has no weights \(\*.safetensors\)"),
        (["config.json", "tokenizer.json", "model.safetensors"], "has no config.json"),
    ],
)
def test_what_is_missing_is_named(absent: list[str], message: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    for name in absent:
        (folder / name).unlink()
    with pytest.raises(ConfigError, match=message) as found:
        find_model(str(folder), "judge_llm.model")
    assert "'judge_llm.model'" in str(found.value) and str(folder) in str(found.value)


def test_training_leftovers_are_no_weights(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model", {"training_args.bin": b"x"})
    with pytest.raises(ConfigError, match="has no weights"):
        find_model(str(folder), "llm.model")


@pytest.mark.parametrize("index", weights.INDICES)
def test_weight_files_that_the_index_names_must_be_there(index: str, tmp_path: Path) -> None:
    folder = make_sharded(tmp_path / "model")
    (folder / weights.INDICES[0]).rename(folder / index)
    (folder / SHARDS[1]).unlink()
    with pytest.raises(ConfigError, match=f"has no {SHARDS[1]}$"):
        find_model(str(folder), "llm.model")
    (folder / SHARDS[2]).unlink()
    (folder / SHARDS[2]).symlink_to("nowhere")  # as a cache looks whose blob was removed
    with pytest.raises(ConfigError, match=f"has no {SHARDS[1]} and 1 more weight files that its index names"):
        find_model(str(folder), "llm.model")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"weight_map": 1}', '{"weight_map": {"a": 1}}', '{"weight_map": {"a": []}}'],
)
def test_an_index_that_cannot_be_read(content: str, tmp_path: Path) -> None:
    folder = make_sharded(tmp_path / "model")
    (folder / weights.INDICES[0]).write_text(content)
    with pytest.raises(ConfigError, match=r"index\.json cannot be read") as found:
        find_model(str(folder), "llm.model")
    assert "\n" not in str(found.value)


def test_the_digest_goes_with_the_content_and_not_with_the_place(tmp_path: Path, hub: Path) -> None:
    folder = make_model(tmp_path / "model")
    known = model_digest(folder)
    shutil.copytree(folder, tmp_path / "copied")
    folder.rename(tmp_path / "moved")
    os.utime(tmp_path / "moved" / "model.safetensors", (1, 1))
    assert model_digest(tmp_path / "copied") == model_digest(tmp_path / "moved") == model_digest(hub) == known
    assert len(known) == 32


CHANGES: dict[str, Callable[[Path], Any]] = {
    "weights": lambda folder: (folder / "model.safetensors").write_bytes(b"\x00" * 63 + b"\x01"),
    "size": lambda folder: (folder / "model.safetensors").write_bytes(b"\x00" * 65),
    "configuration": lambda folder: (folder / "config.json").write_text('{"model_type": "qwen2"}'),
    "tokenizer": lambda folder: (folder / "tokenizer.json").write_text('{"a": 1}'),
    "template": lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}"),
    "merges": lambda folder: (folder / "merges.txt").write_text("a b"),
    "names": lambda folder: (folder / "model.safetensors").rename(folder / "model2.safetensors"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_of_the_model_changes_the_digest(name: str, tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    known = model_digest(folder)
    CHANGES[name](folder)
    assert model_digest(folder) != known


def test_what_is_no_part_of_the_model_does_not_change_the_digest(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    known = model_digest(folder)
    (folder / "README.md").write_text("A model.")
    (folder / "original").mkdir()
    (folder / "original" / "params.json").write_text("{}")
    (folder / "folder.json").mkdir()
    assert model_digest(folder) == known


@pytest.mark.parametrize(("start", "length"), [(0, 1), (999_999, 1), (480_000, 40_000)], ids=["head", "tail", "inside"])
def test_large_files_are_told_apart_by_pieces_of_all_of_them(
    start: int, length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_WHOLE_BYTES", 1000)
    monkeypatch.setattr(weights, "_PIECE_BYTES", 5000)
    folder = make_model(tmp_path / "model", {"model.safetensors": bytes(1_000_000)})
    known = model_digest(folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(start)
        file.write(b"\x01" * length)
    assert (folder / "model.safetensors").stat().st_size == 1_000_000
    assert model_digest(folder) != known


def interpreter(folder: Path, code: int) -> str:
    """What answers like a Python with (0) or without (1) vLLM."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)
    return str(path)


def vllm(model: Path, python: str | None) -> VllmConfig:
    values = {"engine": "vllm", "name": "x", "model": str(model), "python": python}
    made = build_llm_config(values, "llm")
    assert isinstance(made, VllmConfig)
    return made


def test_vllm_is_looked_for_where_it_will_run(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    vllm(model, interpreter(tmp_path, 0)).check()
    with pytest.raises(
        ConfigError, match=r"'llm.python' is '.*/python', which has no vllm: `make setup-vllm`"
    ) as found:
        vllm(model, interpreter(tmp_path, 1)).check()
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("/nowhere/bin/python", "cannot be started"),
        ("/", "cannot be started"),
        ("python3", "must be absolute"),
        (".venv-vllm/bin/python", "must be absolute"),
    ],
)
def test_an_interpreter_that_is_none(python: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as found:
        vllm(make_model(tmp_path / "model"), python).check("judge_llm")
    assert f"'judge_llm.python' is {python!r}" in str(found.value) and "\n" not in str(found.value)


def test_an_interpreter_that_never_ends_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = Path(interpreter(tmp_path, 0))
    python.write_text("#!/bin/sh\nexec sleep 30\n")
    monkeypatch.setattr("mmassist.llm.vllm_engine._CHECK_S", 0.2)
    with pytest.raises(ConfigError, match="cannot be started"):
        vllm(make_model(tmp_path / "model"), str(python)).check()


def test_absent_weights_come_before_an_absent_engine(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'judge_llm.model' is '.*/none': weights not found at that path"):
        vllm(tmp_path / "none", interpreter(tmp_path, 1)).check("judge_llm")


def test_the_fingerprint_holds_what_the_model_is_and_not_where(tmp_path: Path) -> None:
    first, second = make_model(tmp_path / "a" / "One-8B"), make_model(tmp_path / "b" / "One-8B")
    assert vllm(first, None).revision == vllm(second, None).revision == model_digest(first)
    assert vllm(first, None).generator == "One-8B"
