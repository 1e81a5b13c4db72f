import re

import pytest

from mmassist.core.adapter import Content
from mmassist.core.config import meaning
from mmassist.core.errors import ConfigError
from mmassist.datasets import adapter_class, build_adapter, build_dataset_config, list_datasets
from tests.mmassist.datasets.source_samples import REPOSITORY, load_settings

SOURCES = tuple(sorted(path.stem for path in (REPOSITORY / "conf" / "dataset").glob("*.yaml")))
OF_DIALOGS = tuple(name for name in SOURCES if adapter_class(name).content is Content.DIALOG)
SECTION_KEYS = {
    "generate": {"min_ann_ratio", "clip_max_units", "clip_counts", "guidance", "goal_method"},
    "split": {"official_eval", "group_by"},
}


def test_sources_are_found_by_module_name():
    assert list_datasets() == list(SOURCES)
    assert len(OF_DIALOGS) >= 7 and len(SOURCES) >= 11
    assert not {"assignment", "source", "span", "wtag_recipe", "holoassist_event"} & set(list_datasets())


@pytest.mark.parametrize("name", SOURCES)
def test_shipped_settings_build_and_every_key_is_explained_once(name, tmp_path):
    settings = load_settings(name)
    config = build_dataset_config(settings["dataset"], "dataset")
    assert meaning(config) == settings["dataset"]
    assert build_adapter(config, tmp_path, compat=False).name == name
    for section, keys in SECTION_KEYS.items():
        if section == "split" or name in OF_DIALOGS:
            assert keys <= set(settings[section])
    text = (REPOSITORY / "conf" / "dataset" / f"{name}.yaml").read_text()
    assert text.startswith("# @package _global_\n")


def test_every_source_has_its_page():
    pages = {path.stem for path in (REPOSITORY / "docs" / "sources").glob("*.md")}
    assert pages == {*SOURCES, "index"}


def test_unknown_name_gives_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"'dataset.name' is 'holoasist'.*Did you mean 'holoassist'\?"):
        build_dataset_config({"name": "holoasist"}, "dataset")
    for helper in ("assignment", "../wtag", "source"):  # modules of the package that are no source
        with pytest.raises(ConfigError, match=r"is no data set: there is no mmassist/datasets/.*\.py with Config"):
            build_dataset_config({"name": helper}, "dataset")
    with pytest.raises(ConfigError, match=r"'dataset\.name' is not set"):
        build_dataset_config({}, "dataset")


def test_unknown_and_wrong_keys_are_refused_on_one_line():
    values = load_settings("wtag")["dataset"]
    with pytest.raises(ConfigError, match=r"unknown key 'dataset.ignore'\. Did you mean 'ignored'\?"):
        build_dataset_config({**values, "ignore": ["T1"]}, "dataset")
    with pytest.raises(ConfigError, match=r"\{recording\}"):
        build_adapter(build_dataset_config({**values, "video_pattern": "Video.mpeg"}, "dataset"), REPOSITORY, False)
    with pytest.raises(ConfigError, match="participant_pattern") as error:
        build_dataset_config({**load_settings("holoassist")["dataset"], "participant_pattern": "(R"}, "dataset")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", SOURCES)
def test_absent_files_are_one_line_that_names_the_place(name, tmp_path, make_adapter):
    with pytest.raises(ConfigError) as error:
        make_adapter(name, tmp_path).list_items()
    message = str(error.value)
    assert re.search(rf"{re.escape(str(tmp_path))}/datasets/\S+ does not exist", message)
    assert "DATA_ROOT_DIR" in message and "\n" not in message
