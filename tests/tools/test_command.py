"""What all commands have in common: words, options, the folder, mistakes in one line, and readers that go away."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.errors import ConfigError, StageError
from tools.command import Grammar, Words, advise, open_layout, read_words, run_command

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).resolve().parents[2]
COMMANDS = ("cancel", "doctor", "inspect", "logs", "status", "why")
GRAMMAR = Grammar(("stage", "unit"), ("--all", "--watch"), {"--tail": "a number", "--watch": "a number"})
SETTINGS = Grammar(None, ("--records",), {"--json": "a file; say --json FILE"})


def test_words_are_sorted() -> None:
    words = read_words(["T1", "stage=encode,pack", "--all", "--tail", "3", "--root=/a=b"], GRAMMAR)
    assert words == Words(
        ("T1",), {"stage": ("encode", "pack")}, frozenset({"--all"}), {"--tail": "3", "--root": "/a=b"}
    )
    assert words.whole_number("--tail", 40) == 3 and words.whole_number("--other", 40) == 40
    assert read_words(["unit='x/y'", "/a=b/shards/1.tar"], GRAMMAR).targets == ("/a=b/shards/1.tar",)


def test_the_folder_may_be_given_as_a_setting_or_as_an_option() -> None:
    for words in (["--root", "/data"], ["--root=/data"], ["paths.data_root='/data'"]):
        assert read_words(words, GRAMMAR).options == {"--root": "/data"}
    assert read_words(["a.b=1", "--root", "/it's"], SETTINGS).settings == ("a.b=1", r"paths.data_root='/it\'s'")
    assert read_words(["paths.data_root=/data"], SETTINGS).settings == ("paths.data_root=/data",)


def test_an_option_that_may_go_without_a_value() -> None:
    assert read_words(["--watch", "2", "T1"], GRAMMAR).options == {"--watch": "2"}
    assert read_words(["--watch", "T1"], GRAMMAR).flags == {"--watch"}


def test_settings_are_left_as_they_are() -> None:
    words = read_words(["+a=[1,2]", "~b", "--json", "-", "key=8_33", "--records"], SETTINGS)
    assert words.settings == ("+a=[1,2]", "~b", "key=8_33") and words.options == {"--json": "-"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--al"], "unknown option '--al'. Did you mean '--all'?"),
        (["stge=pack"], "unknown key 'stge'. Did you mean 'stage'?"),
        (["stage="], "'stage' has no value"),
        (["stage=a", "stage=b"], "'stage' is given 2 times"),
        (["--tail"], "--tail is given without a number"),
        (["--tail="], "--tail is given without a number"),
        (["--tail", "stage=a"], "--tail is given without a number"),
        (["--tail=1", "--tail=2"], "'--tail' is given 2 times"),
        (["--root", "/a", "paths.data_root=/b"], "is given 2 times"),
        (["--root"], "--root is given without a folder; say --root FOLDER"),
    ],
)
def test_a_mistake_names_its_word(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_words(words, GRAMMAR)
    assert message in str(caught.value)


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_words_are_read_or_refused_in_one_line(words: list[str]) -> None:
    try:
        found = read_words(words, GRAMMAR)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert set(found.targets) <= set(words) and set(found.filters) <= {"stage", "unit"}


def test_the_folder_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_ROOT_DIR", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match=f"DATA_ROOT_DIR={tmp_path}/gone: there is no such folder"):
        open_layout(Words())
    monkeypatch.delenv("DATA_ROOT_DIR")
    with pytest.raises(ConfigError, match="DATA_ROOT_DIR is not set"):
        open_layout(Words())
    words = Words(options={"--root": str(tmp_path)})
    with pytest.raises(ConfigError, match="nothing was run there yet"):
        open_layout(words)
    assert open_layout(words, may_be_empty=True).data_root == tmp_path


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("dataset=x: there is no such dataset"), 2, "error: dataset=x: there is no such dataset\n"),
        (StageError("SLURM is silent"), 1, "error: SLURM is silent\n"),
        (PermissionError(13, "Permission denied", "/data/x"), 1, "error: Permission denied: /data/x\n"),
        (KeyboardInterrupt(), 130, "\nstopped\n"),
    ],
)
def test_what_goes_wrong_is_one_line(capsys, error: BaseException, code: int, line: str) -> None:
    def work(words: list[str]) -> int:
        raise error

    assert run_command(work, "usage\n", ["a"]) == code
    assert capsys.readouterr().err == line


def test_usage_is_for_whoever_asks(capsys) -> None:
    assert run_command(len, "usage\n", ["a", "b"]) == 2
    assert run_command(len, "usage\n", []) == 0 and capsys.readouterr().out == ""
    for words, needs_words in ((["a", "-h"], False), (["--help"], True), ([], True)):
        assert run_command(len, "usage\n", words, needs_words=needs_words) == 0
        assert capsys.readouterr().out == "usage\n"


WRITER = """
import sys
from tools.command import run_command
from tools.console import make_console

def work(words):
    tell = make_console().print if words == ["table"] else print
    while True:
        tell("a line")

sys.exit(run_command(work, "", sys.argv[1:]))
"""


@pytest.mark.parametrize("how", ["table", "text"])
def test_a_reader_that_goes_away_is_no_error(how: str) -> None:
    words = [sys.executable, "-c", WRITER, how]
    with subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"a line\n"
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 141


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_speaks_alike(command: str, tmp_path: Path) -> None:
    """Usage names ``--root``; an unknown option and a missing folder are one line and exit code 2."""
    environment = {name: value for name, value in os.environ.items() if name != "DATA_ROOT_DIR"}

    def ask(*words: str) -> tuple[int, str]:
        line = [sys.executable, "-m", f"tools.{command}", *words]
        done = subprocess.run(line, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, text = ask("--help")
    assert code == 0 and f"python -m tools.{command}" in text and "--root FOLDER" in text
    what = ["dataset=wtag", "models=tiny"] if command in ("doctor", "inspect") else []
    what += ["T1"] if command in ("logs", "why", "cancel") else []
    for words in (["--rot"], ["--root", str(tmp_path / "gone")], []):
        code, text = ask(*what, *words)
        assert code == 2 and text.startswith("error: ") and text.count("\n") == 1, text
    assert "DATA_ROOT_DIR is not set" in text


def test_nearest_names() -> None:
    assert advise("encod", ["encode", "pack"], "") == "did you mean 'encode'?"
    assert advise("R007", ["recording-R007-x", "other"], "") == "did you mean 'recording-R007-x'?"
    assert advise("qqqq", ["encode"], "nothing like it") == "nothing like it"
