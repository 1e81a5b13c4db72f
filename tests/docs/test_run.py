"""Which test runs which command of the documentation: parsing is not running."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import REPOSITORY, Page
from tests.docs.shell import Command, commands, iter_commands

PAGES = "tests/e2e/test_docs.py"
RUN_PAGES = ("README.md", "docs/running.md", "docs/status.md", "docs/tools.md", "docs/loading.md")
# Of all three the first regular expression that is found in a command counts. These are run by the test named, or the
# same code is called there with other words; PAGES leaves them out.
RUN_ELSEWHERE = {
    r"^make (slurm-)?demo": "tests/slurm/test_demo.py",
    r"^slurm\.private": "tests/slurm/test_private.py",
    r"^tools\.demo --slurm": "tests/slurm/test_demo.py",
    r"^tools\.demo": "tests/tools/test_demo.py",
    r"^tools\.frames": "tests/mmassist/video/test_frames_tool.py",
    r"^tools\.train_tiny_tokenizer": "tests/mmassist/packing/test_tokenizer.py",
    r"^tools\.train_toy llava": "tests/tools/test_train_toy.py",
    r"^tools\.cancel (2|last stage)": "tests/tools/test_cancel.py",  # a run of old; jobs of SLURM
    r"^tools\.logs 123_4": "tests/tools/test_logs.py",
    r"^tools\.bench\.balance": "tests/tools/test_bench_balance.py",
    r"^tools\.bench\.(dialog_cost|generation_simulated)": "tests/tools/test_bench_generation.py",
    r"^tools\.bench\.(dialog|source)_differences": "tests/e2e/test_real_data.py",
    r"^tools\.bench\.(encoding|feature_reading)": "tests/tools/test_bench_encoding.py",
    r"^tools\.bench\.loading": "tests/tools/test_bench_loading.py",
    r"^tools\.bench\.packing": "tests/tools/test_bench_packing.py",
    r"^tools\.bench\.picture_quality": "tests/mmassist/video/test_picture.py",
    r"^tools\.bench\.planning": "tests/launchers/test_plan.py",
    r"^tools\.bench\.random_llama": "tests/e2e/real_engine.py",
    r"^tools\.bench\.status": "tests/tools/test_status.py",
    r"^launchers\.run .*judge_llm=openai": "tests/e2e/test_openai_server.py",
    r"^launchers\.run .*(split\.filter|split\.score|judge=llm)": "tests/e2e/test_filter.py",
    r"^launchers\.run .*encoder=(open_clip|timm)": "tests/mmassist/vision/test_named.py",
    r"^launchers\.run .*setup=": "tests/e2e/test_second_day.py",
    r"^launchers\.run .*cluster=demo": "tests/e2e/test_slurm.py",
    r"^launchers\.run .*cluster=": "tests/launchers/test_cluster_profiles.py",
    r"^launchers\.run .*captaincook4d": "tests/e2e/test_real_data.py",
}
# The reason why no test does; left out by PAGES likewise.
NOT_RUN = {
    r"^make (setup|test)": "continuous integration does",
    r"^make bench": "takes minutes to an hour, and a GPU",
    r"^tools\.bench\.(encoder_precision|extraction|generation|listing|pictures|submission)": "takes minutes",
}
# Commands that do not stand in a block of RUN_PAGES, all of which PAGES runs in their order.
RUN_BESIDES = {
    r"^tools\.(doctor|inspect|status|logs|why|cancel|judge_report|train_toy)": PAGES,
    r"^launchers\.run": PAGES,
}
OTHERS = ("cp", "ffmpeg", "hf", "pytest", "sacctmgr", "scontrol", "sinfo", "squeue", "srun")  # programs of others


def shown(command: Command) -> str:
    """The command without ``python -m``."""
    return " ".join([command.module or command.program, *command.arguments])


def is_left_out(command: Command) -> bool:
    """Whether PAGES leaves a command out."""
    return any(re.search(pattern, shown(command)) for pattern in (*RUN_ELSEWHERE, *NOT_RUN))


def runner_of(command: Command) -> str:
    """The test that runs a command, or the reason why none does; "" where there is neither."""
    if command.program in OTHERS:
        return "not ours"
    patterns = {**RUN_ELSEWHERE, **NOT_RUN, **RUN_BESIDES}
    return next((runner for pattern, runner in patterns.items() if re.search(pattern, shown(command))), "")


def test_every_command_is_run_by_a_test_or_has_a_reason() -> None:
    assert [command.shown for command in commands() if not runner_of(command)] == []


@pytest.mark.parametrize("pattern", [*RUN_ELSEWHERE, *NOT_RUN, *RUN_BESIDES])
def test_the_list_holds_nothing_that_is_gone(pattern: str) -> None:
    assert any(re.search(pattern, shown(command)) for command in commands())


@pytest.mark.parametrize(("pattern", "test"), RUN_ELSEWHERE.items())
def test_the_test_named_speaks_of_the_command(pattern: str, test: str) -> None:
    names = re.findall(r"[a-z_]{3,}\w*", pattern.replace("tools", "").replace("launchers", ""))
    text = (REPOSITORY / test).read_text()
    assert any(re.search(rf"(?<![a-z]){name}", text) for name in names)


@pytest.mark.parametrize("line", ["make cake", "python -m tools.bench.cooking", "python -m mmassist.loader"])
def test_a_command_that_nothing_runs_is_found(line: str) -> None:
    (command,) = iter_commands(Page("docs/invented.md", f"```\n{line}\n```"))
    assert runner_of(command) == ""
