"""The simulated engine: its clock and slots by hand, and the bounds that asking it is held to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mmassist.llm.protocol import Answer, Message, Request, Sample
from tools.bench import dialog_cost, generation_simulated
from tools.bench.generation_clock import Standstill, VirtualLoop, run_virtually
from tools.bench.generation_engine import CallEngine, SlotEngine, Speed, next_call
from tools.bench.generation_simulated import Case, Result, simulate
from tools.bench.generation_source import plan_work, write_recordings

pytestmark = pytest.mark.long

LEAST_BUSY, LEAST_RATIO = 0.95, 3.0
SMALL = Case(num_recordings=60, mean_length_s=40.0)
SMALLEST = Case(num_recordings=4, mean_length_s=20.0, num_slots=8)


class Lengths:
    """An engine whose answers are as long as the request's payload says, one letter per token."""

    name, revision, is_scripted = "lengths", "lengths/1", True

    async def answer(self, request: Request) -> Answer:
        return Answer(tuple(Sample("x" * length) for length in request.payload["lengths"]), self.name)

    def close(self) -> None:
        pass


def ask(*lengths: int, kind: str = "dialog", **payload: object) -> Request:
    """``lengths`` are those of the samples' texts; each is decoded with one more token."""
    messages = (Message("user", "y" * 100),)
    facts = {"lengths": list(lengths), **payload}
    return Request(kind, f"{kind}/1", messages, None, facts, num_samples=max(1, len(lengths)))  # type: ignore[arg-type]


def engine(num_slots: int, speed: Speed | None = None) -> SlotEngine:
    speed = speed or Speed(step_s=1.0)
    return SlotEngine(num_slots, speed, Lengths(), lambda texts: [len(text) for text in texts])


@pytest.fixture(scope="module")
def ours() -> Result:
    return simulate(SMALL)


@pytest.fixture(scope="module")
def theirs() -> Result:
    return simulate(SMALL, by_calls=True)


def test_time_jumps_to_the_next_timer_and_events_keep_their_order():
    told: list[tuple[str, float]] = []

    async def tell(name: str, *waits: float) -> None:
        for wait in waits:
            await asyncio.sleep(wait)
            told.append((name, asyncio.get_running_loop().time()))

    async def both() -> str:
        await asyncio.gather(tell("a", 3600.0, 3600.0), tell("b", 5000.0), tell("c", 0.0))
        return "done"

    assert run_virtually(both()) == ("done", 7200.0)
    assert told == [("c", 0.0), ("a", 3600.0), ("b", 5000.0), ("a", 7200.0)]


def test_what_threads_would_do_takes_no_virtual_time():
    async def work() -> tuple[int, float]:
        return await asyncio.to_thread(sum, [1, 2]), asyncio.get_running_loop().time()

    async def fail() -> None:
        await asyncio.to_thread(Path("/nowhere/at/all").read_text)

    assert run_virtually(work()) == ((3, 0.0), 0.0)
    with pytest.raises(FileNotFoundError):
        run_virtually(fail())


def test_waiting_for_nothing_is_an_error():
    async def wait() -> None:
        await asyncio.sleep(2.0)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Standstill, match=r"at 2\.000 s"):
        run_virtually(wait())


def test_a_loop_of_virtual_time_begins_at_zero():
    loop = VirtualLoop()
    assert loop.time() == 0.0
    loop.close()


def test_samples_take_slots_in_order_of_coming():
    ended: list[tuple[str, float]] = []
    slots = engine(2)

    async def one(name: str, request: Request) -> None:
        await slots.answer(request)
        ended.append((name, asyncio.get_running_loop().time()))

    async def run() -> None:
        # Slots: a 0-4 and 0-2 | b 2-11 on the second | c 4-5 on the first, though shorter than b | d 5-7
        await asyncio.gather(one("a", ask(3, 1)), one("b", ask(8)), one("c", ask(0)), one("d", ask(1)))

    assert run_virtually(run())[1] == 11.0
    assert ended == [("a", 4.0), ("c", 5.0), ("d", 7.0), ("b", 11.0)]
    assert (slots.most_in_hand, slots.num_requests, slots.num_samples, slots.num_tokens) == (2, 4, 5, 18)
    assert slots.busy_s == 18.0 and slots.busy_share(11.0) == 18 / 22


def test_reading_a_prompt_takes_time_where_a_speed_is_given():
    reader = engine(1, Speed(step_s=0.5, prompt_tokens_per_s=50.0))
    answer, seconds = run_virtually(reader.answer(ask(3)))
    assert seconds == 100 / 50 + 4 * 0.5
    assert answer.usage == {"prompt_tokens": 100, "completion_tokens": 4}


def test_a_call_is_over_with_its_longest_answer():
    slots = engine(64)
    calls = CallEngine(slots)

    async def chain(*requests: Request) -> None:
        for request in requests:
            await calls.answer(request)

    async def run() -> None:
        await asyncio.gather(chain(ask(9), ask(0)), chain(ask(1), ask(4)))

    seconds = run_virtually(run())[1]
    assert [len(call) for call in calls.calls] == [2, 2]
    assert seconds == pytest.approx(10 + 5, abs=0.001)


def test_calls_hold_ten_prompts_or_the_summaries_of_one_conversation():
    assert next_call([ask(1)] * 23) == 10
    assert next_call([ask(1)] * 3 + [ask(1, kind="refine")]) == 3
    turns = [ask(1, kind="summary", num_turns=number) for number in (2, 3, 5, *range(6, 20), 2, 4)]
    assert next_call(turns) == 17
    assert next_call(turns[17:]) == 2


def test_the_engine_is_busy_from_the_first_request_to_the_last(ours):
    assert ours.num_done == SMALL.num_recordings
    assert ours.busy >= LEAST_BUSY


def test_the_reference_takes_several_times_as_long_for_the_same_requests(ours, theirs):
    assert (theirs.num_done, theirs.num_requests, theirs.num_tokens) == (
        ours.num_done,
        ours.num_requests,
        ours.num_tokens,
    )
    assert theirs.seconds / ours.seconds >= LEAST_RATIO


def test_the_reference_makes_as_many_calls_as_its_description_says(theirs, tmp_path):
    write_recordings(tmp_path, SMALL.num_recordings, SMALL.mean_length_s)
    work = plan_work(tmp_path, ["generate.gpus_per_node=0"])
    kinds = [call[0].kind for call in theirs.calls]
    num_items = len(work.job.adapter(work.layout).list_items().dialogs)
    assert kinds.count("goal") == kinds.count("consolidate") <= num_items == SMALL.num_recordings
    windows = [call for call in theirs.calls if call[0].kind in ("dialog", "refine")]
    assert {len(call) for call in windows} == {10}
    assert kinds.count("dialog") == kinds.count("refine")
    assert kinds.count("summary") == 10 * SMALL.num_recordings


def test_equal_cases_come_to_equal_figures():
    assert simulate(SMALLEST) == simulate(SMALLEST)


def test_several_engines_share_an_element(capsys, monkeypatch):
    words = ["--recordings", "4", "--length", "20", "--engines", "2", "--slots", "16", "--in-flight", "2,4"]
    monkeypatch.setattr("sys.argv", ["generation_simulated", *words])
    assert generation_simulated.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("4 recordings of 20 s on average, ") and "2 engine(s) of 16 slots" in lines[0]
    assert [line.split(" | ")[:3] for line in lines[3:]] == [
        ["| the reference's way", "1", "4"],
        ["| ours", "2", "4"],
        ["| ours", "4", "4"],
    ]


def test_cost_is_counted_for_the_sources_that_are_there(sample_data, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["dialog_cost", "--data", str(sample_data), "--dataset", "wtag,ego4d_narrations"])
    assert dialog_cost.main() == 0
    printed = capsys.readouterr()
    _, _, requests, _, _, _, tokens = ([cell.strip() for cell in row.split("|")] for row in printed.out.splitlines())
    assert requests[1:4] == ["wtag", "2 of 2", "0.12"]
    assert requests[4] == "0" and requests[5] == requests[6], "the goal is given; a refinement for each window"
    prompts, left, answers = (int(tokens[column].removesuffix(" k").replace(",", "")) for column in (2, 4, 5))
    assert tokens[1] == "wtag" and 0 < left < prompts and answers < prompts
    assert 0 < int(tokens[3].removesuffix("%")) < 100
    assert "ego4d_narrations is left out" in printed.err


def test_prompts_share_what_they_begin_with():
    assert dialog_cost.num_shared([1, 2, 3], [1, 2, 4, 5]) == 2
    assert dialog_cost.num_shared([], [1]) == 0
    assert dialog_cost.num_shared([1, 2], [1, 2]) == 2
