"""Which code and packages made something: names, changes in one phrase each, the mark of an edited checkout."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmassist
from launchers import versions
from launchers.versions import changed_versions, code_commit, installed_versions


def test_only_what_is_installed_has_a_version():
    found = installed_versions()
    assert found["mmassist"] == mmassist.__version__ and found["python"] == platform.python_version()
    assert found["numpy"] and found.keys() <= {"mmassist", "python", *versions.LIBRARIES}


def test_a_package_that_is_not_there_is_left_out(monkeypatch):
    monkeypatch.setattr(versions, "LIBRARIES", ("numpy", "no-such-package-anywhere"))
    assert installed_versions().keys() == {"mmassist", "python", "numpy"}


def test_nothing_changes_while_nothing_is_installed():
    assert changed_versions(installed_versions()) == []


def test_every_change_is_one_phrase():
    now = installed_versions()
    before = {name: value for name, value in now.items() if name != "av"} | {"numpy": "1.0", "webdataset-x": "3"}
    assert changed_versions(before) == [
        f"av was absent, is {now['av']}",
        f"numpy was 1.0, is {now['numpy']}",
        "webdataset-x was 3, is absent",
    ]


@given(st.dictionaries(st.sampled_from(["a", "b", "numpy", "python"]), st.sampled_from(["1", "2"])))
def test_as_many_phrases_as_names_that_differ(before):
    now = installed_versions()
    differing = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
    assert [phrase.split(" was ")[0] for phrase in changed_versions(before)] == sorted(differing)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit, which stands for the one that the code lies in."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "launchers").mkdir()
    path = tmp_path / "launchers" / "versions.py"
    path.write_text("one\n")
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "One"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr(versions, "__file__", str(path))
    return tmp_path


def test_the_commit_is_named_in_full_and_an_edited_checkout_is_marked(checkout):
    words = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    head = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    assert code_commit() == head
    (checkout / "launchers" / "versions.py").write_text("two\n")
    assert code_commit() == f"{head}-dirty"


def test_a_tag_does_not_hide_the_commit(checkout):
    commit = code_commit()
    subprocess.run(["git", "-C", str(checkout), "tag", "v1"], check=True)
    assert code_commit() == commit


def test_outside_a_checkout_or_without_git_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "__file__", str(tmp_path / "launchers" / "versions.py"))
    assert code_commit() == ""
    (tmp_path / "launchers").mkdir()
    assert code_commit() == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_commit() == ""
