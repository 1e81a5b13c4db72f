from __future__ import annotations

import errno
import os
import shutil

import pytest

from mmassist.core.errors import ConfigError
from mmassist.io import faults
from mmassist.io.filesystem import check_filesystem
from mmassist.io.layout import UnitLayout
from tests.mmassist.io.disk_faults import calls_of, failing


@pytest.fixture(autouse=True)
def no_faults():
    yield
    faults.install(None)


def test_a_good_folder_is_left_as_it_was(tmp_path):
    check_filesystem(UnitLayout(tmp_path / "processed_data" / "source" / "frames"))
    assert list(tmp_path.iterdir()) == []
    unit = UnitLayout(tmp_path / "frames")
    unit.record_dir.mkdir(parents=True)
    unit.manifest.write_text("{}")
    check_filesystem(unit)
    assert sorted(p.name for p in unit.root.rglob("*")) == ["manifest.json", "tasks"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_every_failing_call_names_the_folder(tmp_path, code):
    unit = UnitLayout(tmp_path / "frames")
    for number in calls_of(lambda: check_filesystem(unit)):
        with failing(number, code), pytest.raises(ConfigError) as caught:
            check_filesystem(unit)
        text = str(caught.value)
        assert text.startswith(f"{unit.root} cannot hold outputs: ") and os.strerror(code) in text and "\n" not in text
        assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_folders_place(tmp_path):
    (tmp_path / "frames").write_text("mine")
    with pytest.raises(ConfigError, match="move away the file"):
        check_filesystem(UnitLayout(tmp_path / "frames"))
    assert (tmp_path / "frames").read_text() == "mine"


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links(tmp_path, monkeypatch, code):
    def link(source, target):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(ConfigError, match=r"frames cannot hold outputs: .*hard links"):
        check_filesystem(UnitLayout(tmp_path / "frames"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_whose_links_replace(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", shutil.copy)
    with pytest.raises(ConfigError, match="a hard link replaces a file that is there"):
        check_filesystem(UnitLayout(tmp_path / "frames"))
    assert list(tmp_path.iterdir()) == []
