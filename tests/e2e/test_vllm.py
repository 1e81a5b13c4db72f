"""Dialogs written and judged by a real vLLM with a model of random weights: nothing but the words is without sense."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mmassist.dialog.checking import Window, check_turns
from mmassist.dialog.record import list_conversations, read_record, record_schema
from mmassist.io.layout import Layout
from mmassist.io.ledger import load_outcomes
from tests.e2e.commands import REPOSITORY, contents, fresh_copy, run, start, words_of
from tests.e2e.real_engine import (
    SMALL,
    descendants_of,
    dialogs_unit,
    engine_reports,
    engine_words,
    is_alive,
    is_up,
    make_model,
    num_answers,
    read_items,
    server,
    wait_until,
    workers_of,
)

pytestmark = pytest.mark.vllm
ONE = ("dataset=wtag", "limit=1")


@pytest.fixture(scope="module")
def model(vllm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(vllm_python, tmp_path_factory.mktemp("llama") / "model")


def local(*words: str) -> list[str]:
    return [*words_of(*words, *SMALL, launcher="local"), "num_workers=1"]


def check_record(record: dict[str, Any]) -> None:
    """A whole record of valid dialogs that names who wrote it."""
    jsonschema.validate(record, record_schema())
    assert not record["is_scripted"] and record["generator"] == "model"
    assert all(engine.startswith("vllm 0.") for engine in record["answers"]["engines"])
    conversations = list_conversations(read_record(record))
    assert conversations
    for conversation in conversations:
        turns = conversation.turns
        assert check_turns(turns, Window(0.0, turns[-1].time_s, is_first=True)) == []
        assert all(turn.labels and turn.progress for turn in turns if not turn.is_user)


@pytest.mark.parametrize("dataset", ["wtag", pytest.param("holoassist", marks=pytest.mark.slow)])
def test_a_recording_is_written_and_judged(sources, tmp_path, model, vllm_python, dataset):
    root = fresh_copy(sources, tmp_path / "root")
    engines = [*engine_words(model, vllm_python), *engine_words(model, vllm_python, "judge_llm")]
    chosen = [f"dataset={dataset}", "limit=1", "judge=llm", "judge.num_samples=2"]
    text = run(root, local("stage=generate,judge", *chosen, *engines))
    assert text.count("1 done") == 2, text
    (record,) = read_items(dialogs_unit(root, dataset), "generate", "dialogs.json").values()
    check_record(record)
    (report,) = engine_reports(dialogs_unit(root, dataset))
    assert report["requests"] == record["answers"]["num_requests"] and report["completion_tokens"] > 100
    assert 0 < report["cached_share"] < 1  # conversations begin alike, and grow
    (scores,) = read_items(Layout(root).unit(dataset, "scores/llm"), "judge", "scores.json").values()
    rated = [row for row in scores["scores"] if row["final_score"] is not None]
    assert rated and all(1 <= row["final_score"] <= 5 for row in rated)
    for row in rated:
        samples = row["correctness"]["samples"]
        assert samples and all(isinstance(sample, int) and 1 <= sample <= 5 for sample in samples)


def test_the_same_journal_gives_the_same_shard_and_nothing_is_asked_again(sources, tmp_path, model, vllm_python):
    """Killed when all is answered and nothing written: two copies go on, neither of them loads the model."""
    root = fresh_copy(sources, tmp_path / "root")
    words = words_of("stage=generate", *ONE, *SMALL, *engine_words(model, vllm_python))
    environment = {**os.environ, "DATA_ROOT_DIR": str(root), **{"VLLM_CPU_KVCACHE_SPACE": "1"}}
    command = [vllm_python, "-m", "tests.e2e.crash_run", "fragment:member", *words]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    number = num_answers(dialogs_unit(root, "wtag"))
    # The goal, and of one conversation dialog, refinement and a summary. More depends on what random weights say on
    # this processor: the other conversation may fail, and a goal that was understood once only needs no merging.
    assert number >= 4
    made = []
    for name in ("one", "two"):
        shutil.copytree(root, tmp_path / name, symlinks=True)
        run(tmp_path / name, local("stage=generate", *ONE, *engine_words(model, vllm_python)))
        (report,) = engine_reports(dialogs_unit(tmp_path / name, "wtag"))
        assert (report["requests"], report["from_journal"]) == (0, number)
        made.append(contents(tmp_path / name))
    assert made[0] == made[1] != {}


@pytest.mark.slow
def test_killed_workers_and_engines_cost_the_requests_in_flight(sources, tmp_path, model, vllm_python):
    root = fresh_copy(sources, tmp_path / "root")
    unit = dialogs_unit(root, "wtag")
    many = [word.replace("@1", "@6") for word in local("stage=generate", *ONE, *engine_words(model, vllm_python))]
    process = start(root, many)
    wait_until(lambda: num_answers(unit) >= 5)
    (worker,) = workers_of(root)
    engines = descendants_of(worker)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in engines), 30)  # they would keep the memory
    before = num_answers(unit)
    wait_until(lambda: num_answers(unit) > before)
    (worker,) = workers_of(root)
    os.kill(worker, signal.SIGSTOP)  # so that it has requests in flight when it sees what happened
    for pid in descendants_of(worker):
        os.kill(pid, signal.SIGKILL)
    os.kill(worker, signal.SIGCONT)
    text, _ = process.communicate(timeout=400)
    assert process.returncode == 0 and "1 done" in text, text
    assert "engine process has died" in text
    outcomes = load_outcomes(unit.ledger_dir).values()
    assert {outcome.reason for outcome in outcomes} <= {"killed"}  # the worker's death; the engine's is nobody's fault
    (record,) = read_items(unit, "generate", "dialogs.json").values()
    check_record(record)
    (report,) = engine_reports(unit)
    assert report["from_journal"] >= before
    assert report["requests"] + report["from_journal"] >= record["answers"]["num_requests"]
    assert workers_of(root) == []


def test_a_server_that_comes_up_later_is_waited_for(sources, tmp_path, model, vllm_python):
    root = fresh_copy(sources, tmp_path / "root")
    with server(vllm_python, model) as address:
        assert not is_up(address)
        engine = ["llm=openai", "llm.name=random_llama", "llm.model=random", f"llm.base_url={address}"]
        text = run(root, words_of("stage=generate", *ONE, *SMALL, *engine))
    assert "1 done" in text, text
    (record,) = read_items(dialogs_unit(root, "wtag"), "generate", "dialogs.json").values()
    assert record["answers"]["engines"] == ["openai random"] and record["generator"] == "random"
    assert list_conversations(read_record(record))


def test_every_chat_begins_once(model, vllm_python):
    """One begin-of-text token, and the ids that the template alone gives."""
    code = (
        "import json, sys\n"
        "from transformers import AutoTokenizer\n"
        "from mmassist.llm import build_llm_config\n"
        "from mmassist.llm.protocol import Message\n"
        "from mmassist.llm.vllm_engine import VllmEngine\n"
        "values = {'engine': 'vllm', 'name': 'x', 'model': sys.argv[1], 'device': 'cpu'}\n"
        "engine = VllmEngine(build_llm_config(values, 'llm'))\n"
        "engine._tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "ids = engine.render((Message('system', 'Be brief.'), Message('user', 'Hello')))\n"
        "print(json.dumps(engine._tokenizer.convert_ids_to_tokens(ids)))\n"
    )
    done = subprocess.run([vllm_python, "-c", code, model], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    counts = Counter(json.loads(done.stdout.splitlines()[-1]))
    assert counts["<|begin_of_text|>"] == 1 and counts["<|start_header_id|>"] == 3 and counts["<|eot_id|>"] == 2


def test_a_wrong_model_is_found_before_anything_is_submitted(sources, tmp_path, vllm_python):
    root = fresh_copy(sources, tmp_path / "root")
    for model, said in ((tmp_path / "nowhere", "weights not found"), (tmp_path, "config.json")):
        text = run(root, local("stage=generate", *ONE, *engine_words(model, vllm_python)), 2)
        assert text.startswith("error: 'llm.model' is ") and said in text and len(text.splitlines()) == 1, text
    assert not (root / "runs").exists()
