"""The commands of the documentation, run in the order in which a reader meets them.

They are taken from the pages themselves; ``adapt`` says what is put in place of what the reader has and the sample has
not.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import page_of
from tests.docs.shell import Command, commands_of
from tests.docs.test_run import RUN_PAGES, is_left_out
from tests.e2e.commands import fresh_copy

Say = Callable[[Command], tuple[int, str]]
# The pages' examples -> what the sample has.
OWN = {"R007-7July-DSLR": "R902-3May-Watch", "KEY": "T1"}
MODELS = ("encoder.", "llm.", "tokenizer.")  # settings of models that have to be downloaded
TAKES_SETTINGS = ("launchers.run", "tools.doctor", "tools.inspect")


def adapt(command: Command) -> list[str]:
    """The words of a command as they are run here.

    The pages' examples become what the sample has. Commands that take settings get ``models=tiny`` in place of the
    reader's models, and ``hydra/launcher=basic`` in place of SLURM where they do not name a launcher.
    """
    words = command.arguments
    for example, own in OWN.items():
        words = [word.replace(example, own) for word in words]
    if command.module not in TAKES_SETTINGS or "--help" in words:
        return words
    words = [word for word in words if not word.startswith(MODELS)]
    given = {word.partition("=")[0] for word in words}
    return [*words, *(w for w in ("models=tiny", "hydra/launcher=basic") if w.partition("=")[0] not in given)]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command of a page in this process; returns its exit code and what it printed."""

    def call(command: Command) -> tuple[int, str]:
        module = importlib.import_module(command.module)
        if hasattr(module, "__path__"):
            module = importlib.import_module(f"{command.module}.__main__")
        code = module.main(adapt(command))
        out, err = capsys.readouterr()
        return code, out + err

    return call


def test_the_readme_from_the_first_command_to_the_last(
    sources: Path, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fresh_copy(sources, tmp_path / "root")
    monkeypatch.setenv("DATA_ROOT_DIR", str(root))
    expected = [
        "ready",
        "R902-3May-Watch",
        "extract  holoassist        3 done (3 now)",
        "encode-holoassist-features-tiny: 3 items",
        "encode   holoassist        3 done (3 now)",
        "pack     holoassist        3 done (3 now)",
        "pack knowledge_L4096_I10",
        "item R902-3May-Watch in holoassist/",
        "is alive",
        "made      20",
        "timing",
    ]
    said = [say(command) for command in run_here("README.md")]
    assert [code for code, _ in said] == [0] * len(said)
    for (_, text), words in zip(said, expected, strict=True):
        assert words in text


def run_here(path: str) -> list[Command]:
    """The commands of a page that no other test runs."""
    return [command for command in commands_of(path) if command.module and not is_left_out(command)]


def test_samples_are_read_as_the_readme_says(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = (block.text for block in page_of("README.md").blocks if block.language == "python")
    exec(program.replace("demo_data", str(finished)), {})
    assert re.search(r"^T\d+/\S+ \(\d+,\) \d+ labels Make", capsys.readouterr().out)


@pytest.mark.parametrize("path", RUN_PAGES[1:])
def test_the_commands_of_a_page(
    path: str, finished: Path, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fresh_copy(finished, tmp_path / "root")
    shutil.copytree(finished / "runs", root / "runs")
    (run,) = (root / "runs").iterdir()
    monkeypatch.setitem(OWN, "20260102-030405-abcdef", run.name)
    monkeypatch.setenv("DATA_ROOT_DIR", str(root))
    (tmp_path / "demo_data").symlink_to(root)  # where tools.train_toy looks without words
    monkeypatch.chdir(tmp_path)
    for command in run_here(path):
        code, text = say(command)
        assert code == 0, f"{command.shown}: {text}"
        assert text.strip()


@pytest.mark.parametrize(
    ("path", "folder", "member"),
    [
        ("docs/stages/extract.md", "frames", "video.json"),
        ("docs/stages/generate.md", "generated_dialogs/scripted", "dialogs.json"),
        ("docs/stages/judge.md", "scores/timing", "scores.json"),
        ("docs/stages/split.md", "splits", "selection.json"),
        ("docs/stages/encode.md", "features/tiny", "features.json"),
        ("docs/stages/pack.md", "prepared/knowledge_L4096_I10", ".json"),
    ],
)
def test_every_field_of_a_record_is_on_its_page(finished: Path, path: str, folder: str, member: str) -> None:
    shard = next((finished / "processed_data" / "wtag" / folder / "shards").glob("*.tar"))
    with tarfile.open(shard) as archive:
        found = next(one for one in archive if one.name.endswith(member))
        record = json.load(archive.extractfile(found))  # type: ignore[arg-type]
    assert fields_without_a_word(record, path) == set()


@pytest.mark.parametrize(
    "pattern",
    [
        *("processed_data/wtag/frames/tasks/*.json", "processed_data/wtag/frames/manifest.json"),
        *("processed_data/wtag/generated_dialogs/scripted/ledger/*/*.jsonl", "processed_data/wtag/splits/audit.json"),
        *("runs/*/receipt.json", "runs/*/lives/*/*.json", "runs/*/elements/*/*.json"),
    ],
)
def test_every_field_of_a_file_is_in_formats(finished: Path, pattern: str) -> None:
    paths = list(finished.glob(pattern))
    assert paths
    for path in paths:
        for line in path.read_text().splitlines():
            assert fields_without_a_word(json.loads(line), "docs/formats.md") == set(), path


def fields_without_a_word(record: dict[str, object], path: str) -> set[str]:
    """Fields at the top of a record that no code span of the page names."""
    words = {word for span in page_of(path).spans for word in re.findall(r"\w+", span.text)}
    return set(record) - words
