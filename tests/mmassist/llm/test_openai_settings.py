from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from mmassist.core.config import meaning
from mmassist.core.errors import ConfigError, ItemError, StageError
from mmassist.llm import build_engine
from mmassist.llm.ask import Tally
from tests.mmassist.llm import openai_server as server
from tests.mmassist.llm.openai_case import GOOD, KEY, ask, config
from tests.mmassist.llm.openai_case import short_waits as short_waits
from tests.mmassist.llm.openai_server import Deed, ScriptedServer, raw


@pytest.mark.parametrize(
    "deeds",
    [
        (GOOD,),
        (server.echo_key(401),),
        (server.echo_key(400),),
        (server.echo_key(503), server.echo_key(500), GOOD),
        (raw(f"you sent {KEY}".encode()), server.hang_up, GOOD),
        (server.echo_key(302),),
    ],
    ids=["good", "401", "400", "503", "broken", "302"],
)
def test_the_key_is_sent_and_never_seen_again(deeds: tuple[Deed, ...], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = [repr(config(key_variable="LLM_KEY")), str(meaning(config(key_variable="LLM_KEY")))]
    with ScriptedServer(*deeds) as place:
        try:
            ask(place, Tally(), key=KEY, key_variable="LLM_KEY")
        except (ItemError, StageError) as error:
            shown += ["".join(traceback.format_exception(error)), repr(error), str(vars(error))]
    assert place.seen[0].headers["authorization"] == f"Bearer {KEY}"
    shown += [f"{record.getMessage()} {record.__dict__}" for record in caplog.records]
    assert not [text for text in shown if KEY in text or "quite-Secret" in text]


def test_a_server_without_a_key_gets_none() -> None:
    with ScriptedServer() as place:
        ask(place, Tally(), key=None)
        assert KEY not in place.seen[0].headers.get("authorization", "")


def test_a_key_read_from_a_file_may_end_in_a_line_break() -> None:
    with ScriptedServer() as place:
        ask(place, Tally(), key=f"{KEY}\r\n", key_variable="LLM_KEY")
        assert place.seen[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("key", [None, "", " \n", "sk-quite-Sécret", "sk-quite\nSecret", "sk-quite Secret\x00"])
def test_no_key_where_one_is_named_and_keys_that_no_header_can_carry(key: str | None) -> None:
    with pytest.raises(ConfigError, match="LLM_KEY") as found:
        build_engine(config(key_variable="LLM_KEY"), key)
    assert "quite" not in str(found.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base_url": "http://me:quiteSecret@host/v1"}, "holds a user"),
        ({"base_url": "me:quiteSecret@host/v1"}, "holds a user"),
        ({"base_url": "ftp://quiteSecret@host/v1"}, "holds a user"),
        ({"base_url": "http://host/v1?key=quiteSecret"}, "a query"),
        ({"base_url": "host:8000/v1"}, "must look like http://host:8000/v1"),
        ({"base_url": "http:///v1"}, "must look like"),
        ({"base_url": "http://ho st/v1"}, "must look like"),
        ({"base_url": "http://h\x00st/v1"}, "must look like"),
        ({"base_url": "http://hóst/v1"}, "must look like"),
        ({"base_url": "http://host:99999/v1"}, "[Pp]ort"),
        ({"base_url": "http://host:x/v1"}, "[Pp]ort"),
        ({"base_url": "http://[::1/v1"}, "llm"),
        ({"key_variable": "sk-quiteSecret"}, "not the key itself"),
        ({"key_variable": "quiteSecret"}, "not the key itself"),
        ({"key_variable": ""}, "not the key itself"),
        ({"max_in_flight": 0}, "max_in_flight is 0"),
        ({"max_in_flight": 1001}, "between 1 and 1000"),
        ({"timeout_s": 0}, "timeout_s must be above 0"),
        ({"patience_s": -1}, "patience_s not negative"),
        ({"schemas": "some"}, "'llm.schemas' is 'some'"),
        ({"max_tokens_field": "n_predict"}, "'llm.max_tokens_field' is 'n_predict'"),
    ],
)
def test_mistakes_in_the_settings(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as found:
        config(**values)
    assert "\n" not in str(found.value) and "quiteSecret" not in str(found.value)


def test_where_the_server_is_and_how_long_it_may_take_are_not_part_of_the_data() -> None:
    assert meaning(config()) == {"engine": "openai", "name": "openai", "model": "m", "schemas": "full"}
    assert (config().revision, config().generator, config().has_schemas) == ("m", "m", True)
    assert (config().secret_name, config(key_variable="LLM_KEY").secret_name) == (None, "LLM_KEY")
    assert not config(schemas="none").has_schemas
    with pytest.raises(ConfigError, match=r"'judge_llm.model' is not set"):
        config(model=None).check("judge_llm")
