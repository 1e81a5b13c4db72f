"""What a word may mean: an item, a task, or an array element, in whichever folders and runs know it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from mmassist.core.errors import ConfigError
from mmassist.io.layout import Layout
from tools.command import Words, advise
from tools.logs.meaning import ElementMeaning, ItemMeaning, Meaning, TaskMeaning
from tools.records.place import find_place
from tools.records.run import Run, find_run, list_runs
from tools.records.task import latest_commit, load_record, load_task_rows
from tools.records.unit import Unit, choose_units, list_units

_JOB_ID = re.compile(r"\d+(_\d+)?")
_ELEMENT = re.compile(r"(?P<job>[A-Za-z0-9_.-]{1,150})\.(?P<element>\d{5})(\.\d+)?")
_TASK = re.compile(r"(?:(?P<unit>.+?)/)??(?:tasks/|shards/|index/)?(?P<task>(?:[a-z]+-)?\d{6})(?:\.json|\.tar)?")


def find_meanings(layout: Layout, word: str, words: Words) -> list[Meaning]:
    """Everything that ``word`` may mean, what failed first, then the newest. Raises ConfigError when it is nothing."""
    name = words.one("run")
    run = find_run(list_runs(layout), name) if name else None
    units = choose_units(list_units(layout), words.filters)
    found: list[Meaning] = list(_iter_items(layout, word, units, run))
    found += _iter_tasks(layout, word, units, run)
    found += _iter_elements(layout, word, words.filters, run)
    if not found:
        raise ConfigError(_unknown(layout, word, units, words))
    return sorted(found, key=lambda meaning: (meaning.is_failed, meaning.time), reverse=True)


def _iter_items(layout: Layout, word: str, units: Sequence[Unit], run: Run | None) -> Iterator[ItemMeaning]:
    key = word.partition("/")[0]  # of ``key/member``, as in a shard
    for unit in units:
        place = find_place(unit, key)
        if place is None:
            continue
        attempts = [a for a in place.attempts if run is None or a.run_id == run.run_id]
        if attempts or run is None:
            yield ItemMeaning(layout, place, attempts)


def _iter_tasks(layout: Layout, word: str, units: Sequence[Unit], run: Run | None) -> Iterator[TaskMeaning]:
    match = _TASK.fullmatch(word.removeprefix(f"{layout.processed.name}/"))
    if match is None:
        return
    task, path = match["task"], match["unit"]
    for unit in units:
        if path is not None and not unit.is_called(path):
            continue
        rows = [row for row in load_task_rows(unit.layout, needle=f'"{task}"'.encode()) if row["name"] == task]
        record = load_record(unit.layout, task)
        is_other = run is not None and record.get("run_id", run.run_id) != run.run_id
        if is_other or not (record or rows):
            continue
        items = record["items"] if record else rows[0]["items"]
        yield TaskMeaning(layout, unit, task, items, record, latest_commit(unit.layout, task))


def _iter_elements(
    layout: Layout, word: str, filters: Mapping[str, Sequence[str]], run: Run | None
) -> Iterator[ElementMeaning]:
    runs = list_runs(layout) if run is None else [run]
    named = _ELEMENT.fullmatch(word)
    if named:
        for one in runs:
            if one.layout.element(named["job"], int(named["element"])).exists():
                job, element = named["job"], int(named["element"])
                yield ElementMeaning(one, job, element, one.lives(job, element))
        return
    if not _JOB_ID.fullmatch(word):
        return
    for one in runs:
        elements = [(row.name, n) for row in one.jobs if row.fits(filters) for n in row.elements_of(word)]
        for job, element in elements:
            yield ElementMeaning(one, job, element, one.lives(job, element))
        if elements:
            return  # ids are given again after years or a lost controller: the newest run is meant


def _unknown(layout: Layout, word: str, units: Sequence[Unit], words: Words) -> str:
    names = {key for unit in units for row in load_task_rows(unit.layout) for key in row["items"]}
    where = f" ({words.shown_filters})" if words.filters else ""
    looked = f"{layout.processed} and the runs{where}"
    rest = "give an item key, a task such as 000003 or holoassist/frames/000003, or a SLURM job id such as 123_4"
    return f"{word!r} is no item, task or element in {looked}; {advise(word, names, rest)}"
