"""The packing bench packs as the stage does, and refuses to praise ids or labels that are not the peer's."""

from __future__ import annotations

import pytest

from mmassist.packing.conversation import Message
from mmassist.packing.record import Dialog, FrameStore
from mmassist.packing.report import FillReport
from mmassist.packing.tokenizer import TokenizerConfig, build_tokenizer
from tools.bench.packing import Case, render_speed, variants
from tools.bench.packing_peer import WholeText

STORE = FrameStore("x", 400)


@pytest.fixture
def case() -> Case:
    said = [Message("assistant", f"Do step {n}.", 5.0 * n, "", f"Up to step {n}.") for n in range(1, 30)]
    messages = (Message("user", "Coffee!", 1.0), *said)
    dialog = Dialog("toy", "x", "x", "train", "talk_some", "talk_some_0", messages, knowledge="1. Boil.")
    return Case(TokenizerConfig("tiny"), (dialog,), STORE, 10)


def test_all_ways_are_measured_and_compared(case: Case) -> None:
    text = render_speed(case, case.dialogs)
    for name in ("floor", "arrays", "arrays and members", "arrays and members, empty caches", "peer"):
        assert f"\n{name} " in text
    assert text.endswith("ids and labels of all samples are the peer's")


def test_another_result_than_the_peers_is_refused(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    build = WholeText.build
    monkeypatch.setattr(WholeText, "build", lambda self, record: (build(self, record)[0], build(self, record)[0]))
    with pytest.raises(SystemExit, match="differs from the peer's"):
        render_speed(case, ())


def test_variants_are_all_of_them(case: Case) -> None:
    tokenizer = build_tokenizer(case.tokenizer)
    builders = variants(lambda: tokenizer)
    made = {(b.setup.name, b.chat.image_tokens, b.chat.has_separator, b.rules.max_seq_len) for b in builders}
    assert len(made) == len(builders) == 60
    assert all(builder.build(case.dialogs[0], STORE, FillReport()) for builder in builders)
