"""Every mistake on the command line is one line that names it, before any work."""

from __future__ import annotations

import itertools
import shutil

import pytest

from launchers.compose import CONF_DIR, compose_command, list_options
from launchers.help import iter_help
from launchers.jobs import build_stage
from launchers.run import main
from mmassist.core.errors import ConfigError
from mmassist.stages import list_stages

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dataset=wtag"], "'stage' is not given; say stage=NAME with one or more of: extract, generate, judge, split"),
        (["stage=extract"], "'dataset' is not given; say dataset=NAME with one or more of: assembly101, captaincook4d"),
        (["stage=extrct", "dataset=wtag"], "stage=extrct: there is no such stage. Did you mean 'extract'?"),
        (["stage=extract", "dataset=wtg"], "dataset=wtg: there is no such dataset. Did you mean 'wtag'?"),
        (["stage=extract", "dataset=wtag,holassist"], "dataset=holassist: there is no such dataset. Did you mean 'holo"),
        (["stage=extract", "dataset=wtag", "models=tny"], "models=tny: there is no such models. Did you mean 'tiny'?"),
        (["stage=extract", "dataset=wtag", "hydra/launcher=slrm"], "hydra/launcher=slrm: there is no such"),
        (["stage=extract", "dataset=wtag", "extract.jpg_quality=80"], "unknown key 'extract.jpg_quality'. Did you mean 'extract.jpeg_quality'?"),
        (["stage=extract", "dataset=wtag", "jpeg_quality=80"], "unknown key 'jpeg_quality'. Did you mean 'extract.jpeg_quality'?"),
        (["stage=extract", "dataset=wtag", "exract.size=80"], "unknown key 'exract.size'. Did you mean 'extract.size'?"),
        (["stage=extract", "dataset=wtag", "+extract.speed=80"], "settings can be changed, not added or removed"),
        (["stage=extract", "dataset=wtag", "--fast"], "unknown option '--fast'"),
        (["stage=extract", "dataset=wtag", "retry=some"], "'retry' is 'some'; it must be one of 'none', 'failed'"),
        (["stage=extract", "dataset=wtag", "dataset=holoassist"], "'dataset' is given 2 times; give it once"),
        (["stage=glob(*)", "dataset=wtag"], "give the values one by one"),
        (["stage=extract", "dataset=wtag", "limit=0"], "limit is 0; it must be 1 or more"),
        (["stage=extract", "dataset=wtag", "limit=few"], "'limit' is 'few'; it must be a whole number"),
        (["stage=extract", "dataset=wtag", "extract.size=[1"], "cannot read the command line"),
        (["stage=judge", "dataset=wtag", "judge=lm"], "judge=lm: there is no such judge. Did you mean 'llm'?"),
        (["stage=judge", "dataset=wtag", "judge.num_samples=5"], "'judge.num_samples' is no setting of the judge chosen; say judge=llm"),
        (["stage=judge", "dataset=wtag", "judge=llm", "judge.num_smples=5"], "unknown key 'judge.num_smples'. Did you mean 'judge.num_samples'?"),
        (["stage=judge", "dataset=wtag", "judge_llm=opnai"], "judge_llm=opnai: there is no such judge_llm. Did you mean 'openai'?"),
        (["stage=judge", "dataset=wtag", "judge_llm=openai", "judge_llm.base_ur=x"], "unknown key 'judge_llm.base_ur'. Did you mean 'judge_llm.base_url'?"),
        (["stage=judge", "dataset=wtag", "judge_llm=scripted", "judge_llm.model=x"], "'judge_llm.model' is no setting of the judge_llm chosen; say judge_llm=openai or vllm"),
        (["stage=judge", "dataset=wtag", "judge=llm", "judge.engine.model=x"], "the model that judges has a section of its own; say judge_llm.model"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_the_nearest_name(words, expected):
    with pytest.raises(ConfigError) as error:
        compose_command(words)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_exits_with_two_and_prints_the_line(capsys):
    assert main(["stage=extract", "dataset=wtagg"]) == 2
    assert capsys.readouterr().err.startswith("error: dataset=wtagg: there is no such dataset.")


def test_a_sweep_gives_every_combination_with_and_without_the_flag():
    words = ["stage=extract,encode", "dataset=wtag,holoassist", "models=tiny", "hydra/launcher=basic"]
    for extra in ([], ["-m"]):
        found = [(c.command.stage, c.dataset, c.launcher) for c in compose_command(words + extra)]
        assert sorted(found) == sorted(
            (s, d, "basic") for s, d in itertools.product(("extract", "encode"), ("wtag", "holoassist"))
        )


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ("items=[T1,T2]", ("T1", "T2")),
        ("items=[8_33,8_40]", ("8_33", "8_40")),  # numbers, to a YAML reader
        ("items=[1e3,null-1]", ("1e3", "null-1")),
        ("items=8_33", ("8_33",)),
        ("items=null", None),
    ],
)
def test_item_keys_are_taken_as_they_are(word, keys):
    (made,) = compose_command(["stage=extract", "dataset=captaincook4d", word])
    assert made.command.items == keys


@pytest.mark.parametrize(
    "words",
    [
        *([f"dataset={name}", f"setup={','.join(list_options('setup'))}"] for name in list_options("dataset")),
        ["dataset=wtag", f"cluster={','.join(list_options('cluster'))}"],
    ],
    ids=lambda words: "-".join(word[:20] for word in words),
)
@pytest.mark.parametrize("models", ["tiny", "reference"])
def test_all_configs_compose_and_build(words, models):
    combinations = compose_command([f"stage={','.join(list_stages())}", f"models={models}", *words])
    assert len(combinations) == len(list_stages()) * (words[-1].count(",") + 1)
    for combination in combinations:
        stage = build_stage(combination.command.stage, combination.sections)
        assert stage.name == combination.command.stage
        assert type(stage).folder(stage.configs)


@pytest.mark.parametrize("judge_llm", list_options("judge_llm"))
def test_the_judges_model_is_chosen_and_set_beside_the_generators(judge_llm):
    assert list_options("judge_llm") == list_options("llm")
    words = [
        "stage=judge",
        "dataset=wtag",
        "judge=llm",
        "llm=scripted",
        f"judge_llm={judge_llm}",
        "judge_llm.name=other",
    ]
    (made,) = compose_command(words)
    assert made.sections["judge"]["engine"] == made.sections["judge_llm"]
    stage = build_stage("judge", made.sections)
    assert (stage.engine.engine, stage.engine.name) == (judge_llm, "other")
    assert made.sections["llm"]["name"] == "scripted"
    (plain,) = compose_command(["stage=judge", "dataset=wtag", f"llm={judge_llm}"])
    assert {**plain.sections["llm"], "name": "other"} == made.sections["judge_llm"]


def test_judging_by_a_model_takes_the_machines_of_generate():
    (made,) = compose_command(["stage=judge", "dataset=wtag", "judge=llm", "cluster=h100x8", "judge.mem_gb=99"])
    judge, generate = made.sections["judge"], made.sections["generate"]
    for name in ("num_workers", "gpus_per_node", "cpus_per_task", "timeout_min", "item_timeout_s"):
        assert judge[name] == generate[name]
    assert judge["mem_gb"] == 99
    (clock,) = compose_command(["stage=judge", "dataset=wtag", "models=tiny", "cluster=h100x8"])
    assert clock.sections["judge"]["gpus_per_node"] == 0 and "engine" not in clock.sections["judge"]


def test_both_judges_may_be_asked_for_at_once():
    made = compose_command(["stage=judge", "dataset=wtag", "models=tiny", "judge=timing,llm"])
    stages = [build_stage("judge", one.sections) for one in made]
    assert [type(stage).folder(stage.configs) for stage in stages] == ["scores/timing", "scores/llm"]
    assert [stage.engine is None for stage in stages] == [True, False]


def test_a_source_without_settings_is_told_which_file_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("launchers.compose.CONF_DIR", shutil.copytree(CONF_DIR, tmp_path / "conf"))
    (tmp_path / "conf" / "dataset" / "wtag.yaml").unlink()
    with pytest.raises(ConfigError, match=r"dataset=wtag: .* Its module is there, conf/dataset/wtag\.yaml is not\.$"):
        compose_command(["stage=extract", "dataset=wtag"])


def test_a_source_sets_its_values_in_the_stages_sections():
    (made,) = compose_command(["stage=generate", "dataset=wtag"])
    assert made.sections["generate"]["min_ann_ratio"] == 0.3
    (made,) = compose_command(["stage=generate", "dataset=wtag", "generate.min_ann_ratio=0.7"])
    assert made.sections["generate"]["min_ann_ratio"] == 0.7


def test_help_lists_stages_sources_and_every_setting_with_a_meaning():
    text = "\n".join(iter_help())
    for name in (
        *list_stages(),
        *list_options("dataset"),
        "extract.jpeg_quality",
        "pack.image_tokens",
        "on_stale",
        "slurm",
        "judge.num_samples",
        "judge_llm",
    ):
        assert name in text
    for path in CONF_DIR.rglob("*.yaml"):
        if "hydra" in path.parts or path.parent.name == "models":
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            key, _, value = line.strip().partition(":")
            is_setting = value.strip() and not line.strip().startswith(("#", "-")) and "{" not in value[:3]
            if is_setting and key != "name" and path.parent.name not in ("conf", "dataset"):
                assert "#" in line, f"{path.relative_to(CONF_DIR)}:{number}: {key} has no comment"


def test_the_top_settings_are_all_explained():
    lines = (CONF_DIR / "config.yaml").read_text().split("\nstage:")[1].splitlines()
    settings = [line for line in lines if ":" in line and not line.startswith(("hydra", " "))]
    assert settings and all("#" in line for line in settings)
