"""``--cfg job``: what a stage would be run with, on one screen, and nothing done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from launchers import run as run_module
from launchers.ending import EXIT_OK, EXIT_USER
from launchers.run import main
from mmassist.stages import list_stages

SCREEN = 75  # lines: a terminal on one half of a display that stands upright


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main([*words, "--cfg", "job"]) == EXIT_OK
    return list(yaml.safe_load_all(capsys.readouterr().out))


def test_every_stage_shows_its_settings_and_nothing_is_done(capsys, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT_DIR", str(tmp_path / "absent"))
    monkeypatch.setattr(run_module, "stand_on_ground", None)
    monkeypatch.chdir(tmp_path)
    words = [f"stage={','.join(list_stages())}", "dataset=holoassist", "judge=llm", "extract.jpeg_quality=77"]
    assert main([*words, "--cfg", "job"]) == EXIT_OK
    out = capsys.readouterr().out
    texts, documents = out.split("\n---\n"), list(yaml.safe_load_all(out))
    assert [one["stage"] for one in documents] == list(list_stages())
    assert max(len(text.splitlines()) for text in texts) <= SCREEN
    assert documents[0]["extract"]["jpeg_quality"] == 77
    assert [one["cluster"]["name"] for one in documents] == ["h100x8"] * len(list_stages())
    models = [{"llm", "judge_llm", "encoder", "tokenizer"} & one.keys() for one in documents]
    assert models == [set(), {"llm"}, {"judge_llm"}, set(), {"encoder"}, {"tokenizer"}]
    assert documents[2]["judge"]["num_workers"] == documents[1]["generate"]["num_workers"]
    assert not list(tmp_path.iterdir())


def test_the_groups_follow_each_other_as_one_would_ask(capsys):
    assert main(["stage=encode", "dataset=wtag", "--cfg=job", "encoder=open_clip"]) == EXIT_OK  # no model is named yet
    out = capsys.readouterr().out
    lines = ["# encode of wtag", "stage: encode", "dataset:", "retry: none", "# Models", "encoder:", "# Settings"]
    lines += ["encode:", "  batch_size: 64", "  grids: [2, 3]", "  # Where and how it runs", "  cpus_per_task: 96"]
    lines += ["hydra/launcher: slurm", "paths: {data_root"]
    assert [line for line in out.splitlines() if line.startswith(tuple(lines))] == [
        next(found for found in out.splitlines() if found.startswith(line)) for line in lines
    ]


def test_what_has_no_effect_is_left_out(capsys):
    words = ["stage=encode,pack", "dataset=wtag,llava", "hydra/launcher=basic"]
    encode, pack, pictures, captions = shown(capsys, *words)
    assert not {"generate", "pack", "setup", "llm", "tokenizer", "cluster"} & encode.keys()
    assert encode["extract"] == {"which": "needed"}  # videos of no dialog are encoded too
    assert "cpus_per_task" not in encode["encode"] and "num_workers" not in encode["encode"]
    assert pictures["dataset"]["name"] == "llava"
    assert pack["setup"]["name"] == "knowledge" and "split" not in pack
    assert "setup" not in captions and captions["split"]["group_by"] == "recording"
    (local,) = shown(capsys, "stage=encode", "dataset=wtag", "hydra/launcher=local", "num_workers=3")
    assert local["num_workers"] == 3 and local["encode"]["num_workers"] == 8


def test_stages_that_captions_do_not_have_are_a_comment(capsys):
    assert main(["--cfg", "job", "stage=judge,pack", "dataset=llava"]) == EXIT_OK
    out = capsys.readouterr().out
    assert out.startswith("# left out: llava holds captions") and yaml.safe_load(out)["stage"] == "pack"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cfg", "hydra"], "--cfg is 'hydra'; say --cfg job"),
        (["--cfg"], "--cfg is ''; say --cfg job"),
        (["--cfg", "job", "encode.batchsize=3"], "unknown key 'encode.batchsize'"),
        (["--cfg", "job", "--resolve"], "unknown option '--resolve'"),
    ],
)
def test_a_mistake_is_named_as_in_a_run(capsys, words, said):
    assert main(["stage=encode", "dataset=wtag", *words]) == EXIT_USER
    captured = capsys.readouterr()
    assert said in captured.err and captured.out == ""
