"""Dialogs written and judged by a server with OpenAI's API that says the least that each schema allows."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mmassist.dialog.record import list_conversations, read_record
from mmassist.io.layout import Layout
from mmassist.io.reader import UnitReader
from tests.e2e.commands import contents, fresh_copy, run, start, words_of
from tests.mmassist.llm.openai_server import Handler, ScriptedServer, body_of, status

KEY = "sk-never-to-be-written-down"
WORDS = ("dataset=wtag", "limit=1", "log_level=debug", "generate.user_types='no_talk@1,talk_some@1'")


def least(schema: dict[str, Any]) -> Any:
    """The smallest value that follows one of our schemas."""
    if "anyOf" in schema:
        return least(schema["anyOf"][0])
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"]
    if kind == "object":
        return {name: least(value) for name, value in schema["properties"].items()}
    if kind == "array":
        first = [least(entry) for entry in schema.get("prefixItems", [])]
        return first + [least(schema["items"]) for _ in range(schema.get("minItems", 0) - len(first))]
    return "I pour the water" if kind == "string" else schema.get("minimum", 0)


def answer(handler: Handler) -> None:
    body = handler.server.place.seen[-1].body
    text = json.dumps(least(body["response_format"]["json_schema"]["schema"]))
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    handler.reply(json.dumps(body_of(text, usage=usage)).encode())


def engine_words(address: str, section: str, model: str = "some-model") -> list[str]:
    values = {"name": "served", "model": model, "base_url": address, "key_variable": "SERVER_KEY"}
    return [f"{section}=openai", *(f"{section}.{name}={value}" for name, value in values.items())]


def files_with(root: Path, text: str) -> list[str]:
    found = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in found if text.encode() in path.read_bytes()]


def test_dialogs_and_ratings_come_from_the_server_and_the_key_goes_nowhere_else(sources, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVER_KEY", KEY)
    root = fresh_copy(sources, tmp_path / "root")
    with ScriptedServer(usual=answer) as server:
        engines = [
            *engine_words(f"http://127.0.0.1:{server.port}/v1", "llm"),
            *engine_words(f"http://127.0.0.1:{server.port}/v1", "judge_llm", "another-model"),
        ]
        text = run(root, words_of("stage=generate,judge", "judge=llm", *WORDS, *engines, launcher="local"))
    assert text.count("1 done") == 2 and "language model: " in text, text
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {KEY}"}
    layout = Layout(root)
    manifest = json.loads(layout.unit("wtag", "scores/llm").manifest.read_text())
    assert manifest["models"] == {"generate": "some-model", "judge": "another-model"}
    generated = UnitReader(layout.unit("wtag", "generated_dialogs/served"), "generate")
    (key,) = generated.keys()
    record = json.loads(generated.read(key).read("dialogs.json"))
    assert record["answers"]["engines"] == ["openai some-model"] and not record["is_scripted"]
    assert [len(one.turns) >= 1 for one in list_conversations(read_record(record))] == [True, True]
    scores = json.loads(UnitReader(layout.unit("wtag", "scores/llm"), "judge").read(key).read("scores.json"))
    assert [row["final_score"] for row in scores["scores"]] == [1.0, 1.0]
    assert files_with(root, KEY) == [] and KEY not in text


def test_a_key_that_is_refused_stops_the_stage_and_is_not_repeated(sources, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVER_KEY", KEY)
    root = fresh_copy(sources, tmp_path / "root")
    with ScriptedServer(usual=status(401, f"bad key {KEY}")) as server:
        text = run(
            root, words_of("stage=generate", *WORDS, *engine_words(f"http://127.0.0.1:{server.port}/v1", "llm")), 1
        )
    assert "stopped: " in text and "HTTP 401" in text and "Traceback" not in text
    assert files_with(root, KEY) == [] and KEY not in text


def test_a_key_that_is_not_there_is_found_before_any_work(sources, tmp_path, monkeypatch):
    monkeypatch.delenv("SERVER_KEY", raising=False)
    root = fresh_copy(sources, tmp_path / "root")
    text = run(root, words_of("stage=generate", *WORDS, *engine_words("http://127.0.0.1:9/v1", "llm")), 2)
    assert text == "error: the environment variable SERVER_KEY is not set; it has to hold the server's key\n"
    assert not (root / "runs").exists()


@pytest.mark.slow
def test_a_server_that_is_down_for_a_minute_is_waited_for(sources, tmp_path, monkeypatch):
    """It goes away in the middle of the work; what was answered is not asked again, and the result is the same."""
    monkeypatch.setenv("SERVER_KEY", KEY)
    expected, root = fresh_copy(sources, tmp_path / "expected"), fresh_copy(sources, tmp_path / "root")
    server = ScriptedServer(usual=answer)
    with server:
        words = words_of("stage=generate", *WORDS, *engine_words(server.url, "llm"), launcher="local")
        run(expected, words)
    asked, server.seen = [seen.body for seen in server.seen], []
    assert len(asked) >= 4
    gone_at = len(asked) // 2
    answered: list[Any] = []

    def answer_and_go(handler: Handler) -> None:
        if len(answered) == gone_at:
            threading.Thread(target=server.stop).start()
            handler.close_connection = True
            return
        answered.append(handler.server.place.seen[-1].body)
        answer(handler)

    server.usual = answer_and_go
    server.start()
    process = start(root, words)
    try:
        while len(answered) < gone_at:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        time.sleep(60)
        assert process.poll() is None, "it waits"
        server.usual = answer
        num_before = len(server.seen)
        server.start()
        text, _ = process.communicate(timeout=300)
    finally:
        process.kill()
        server.stop()
    assert process.returncode == 0 and "1 done" in text, text
    again = [seen.body for seen in server.seen[num_before:]]
    assert not [body for body in again if body in answered]
    assert contents(root) == contents(expected)
