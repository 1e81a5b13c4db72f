"""Every mistake on the command line is one line that names it, before any work."""

from __future__ import annotations

import itertools

import pytest

from launchers.compose import CONF_DIR, compose_command, list_options
from launchers.help import iter_help
from launchers.jobs import build_stage
from launchers.run import main
from mmassist.core.errors import ConfigError
from mmassist.stages import PIPELINE


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
        (["stage=extract", "dataset=wtag", "limit=few"], "'limit' is 'few'; it must be of type int"),
        (["stage=extract", "dataset=wtag", "extract.size=[1"], "cannot read the command line"),
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


@pytest.mark.parametrize("dataset", list_options("dataset"))
@pytest.mark.parametrize("models", ["tiny", "reference"])
def test_all_configs_compose_and_build(dataset, models):
    stages = ",".join(PIPELINE)
    setups, clusters = ",".join(list_options("setup")), ",".join(list_options("cluster"))
    words = [f"stage={stages}", f"dataset={dataset}", f"models={models}", f"setup={setups}", f"cluster={clusters}"]
    combinations = compose_command(words)
    assert len(combinations) == len(PIPELINE) * len(list_options("setup")) * len(list_options("cluster"))
    for combination in combinations:
        stage = build_stage(combination.command.stage, combination.sections)
        assert stage.name == combination.command.stage
        assert type(stage).folder(stage.configs)


def test_a_source_sets_its_values_in_the_stages_sections():
    (made,) = compose_command(["stage=generate", "dataset=wtag"])
    assert made.sections["generate"]["min_ann_ratio"] == 0.3
    (made,) = compose_command(["stage=generate", "dataset=wtag", "generate.min_ann_ratio=0.7"])
    assert made.sections["generate"]["min_ann_ratio"] == 0.7


def test_help_lists_stages_sources_and_every_setting_with_a_meaning():
    text = "\n".join(iter_help())
    for name in (*PIPELINE, *list_options("dataset"), "extract.jpeg_quality", "pack.image_tokens", "on_stale", "slurm"):
        assert name in text
    for path in CONF_DIR.rglob("*.yaml"):
        if "hydra" in path.parts or path.parent.name == "models":
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            key, _, value = line.strip().partition(":")
            is_setting = value.strip() and not line.strip().startswith(("#", "-")) and "{" not in value[:3]
            if is_setting and path.parent.name not in ("conf", "dataset"):
                assert "#" in line, f"{path.relative_to(CONF_DIR)}:{number}: {key} has no comment"


def test_the_top_settings_are_all_explained():
    lines = (CONF_DIR / "config.yaml").read_text().split("\nstage:")[1].splitlines()
    settings = [line for line in lines if ":" in line and not line.startswith(("hydra", " "))]
    assert settings and all("#" in line for line in settings)
