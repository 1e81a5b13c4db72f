"""The toy trainer on samples that the real stages made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.commands import run, words_of
from tools.demo.publication import publish, write_publication

pytestmark = pytest.mark.long

pytest.importorskip("torch")
SOURCES = "llava/caption_L4096_I10@2,sthsthv2/narration_L4096_I10"


@pytest.fixture(scope="module")
def processed(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    for name in ("llava", "sthsthv2"):
        write_publication(root, publish(name))
    run(root, words_of("stage=extract,encode,pack", "dataset=llava,sthsthv2"))
    return root / "processed_data"


def train(capsys: pytest.CaptureFixture[str], processed: Path, *words: str, expect: int = 0) -> str:
    from tools.train_toy import main

    assert main([SOURCES, "--processed", str(processed), *words]) == expect
    return capsys.readouterr().out


def steps(text: str) -> list[str]:
    """Step, epoch and keys of every step; losses may differ in their last digit where threads share the work."""
    return re.sub(r"loss \S+", "", "\n".join(line for line in text.splitlines() if line.startswith("step"))).split("\n")


def test_the_loss_falls_and_a_run_goes_on_where_it_was_cut(capsys, processed, tmp_path):
    whole = train(capsys, processed, "--steps", "12", "--batch-size", "2")
    first, last = re.search(r"loss (\S+) -> (\S+) ", whole).groups()
    assert float(last) < float(first) - 0.5
    assert "an epoch has 7 samples: {'llava/caption_L4096_I10': 4, 'sthsthv2/narration_L4096_I10': 3}" in whole
    place = ("--checkpoint", str(tmp_path / "toy.pt"), "--batch-size", "2")
    cut = train(capsys, processed, *place, "--steps", "6")
    rest = train(capsys, processed, *place, "--steps", "12", "--num-workers", "2")
    assert "going on behind step 6" in rest
    assert steps(cut) + steps(rest) == steps(whole)
    assert "nothing left to do" in train(capsys, processed, *place, "--steps", "12")


def test_ranks_take_their_shares_and_mistakes_are_one_line(capsys, processed):
    words = ("--steps", "3", "--world-size", "2", "--learning-rate", "0.01")
    shares = [steps(train(capsys, processed, *words, "--rank", str(rank))) for rank in range(2)]
    whole = steps(train(capsys, processed, "--steps", "6"))
    keys = [[line.split()[-1] for line in share] for share in (*shares, whole)]
    assert [key for pair in zip(*keys[:2], strict=True) for key in pair] == keys[2]
    train(capsys, processed, "--encoder", "other", expect=2)
    train(capsys, processed, "--learning-rate", "10", "--steps", "2", expect=1)
