"""The bound that balance is held to: 1.10 times the least possible, for every source, stage and number of nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from launchers.balance import Window
from tools.bench import balance
from tools.bench.balance_simulation import Pool, run_windows, stride
from tools.bench.balance_tables import PUBLISHED, Table, draw_lengths, iter_real, iter_synthetic

pytestmark = pytest.mark.long

BOUND = 1.10
TASK_WEIGHT = 600.0


@pytest.fixture(scope="module")
def cutter(tmp_path_factory: pytest.TempPathFactory) -> balance.Cutter:
    return balance.Cutter(tmp_path_factory.mktemp("balance"), TASK_WEIGHT)


def worst(table: Table, cutter: balance.Cutter) -> tuple[float, str]:
    cases = [cutter.cut(table, stage) for stage in balance.STAGES]
    return max((case.ratio(nodes), f"{case.stage} on {nodes}") for case in cases for nodes in balance.NODES)


def test_real_tables_stay_within_the_bound(sample_data, cutter):
    tables = {table.name: table for table in iter_real(sample_data)}
    assert {name: len(table.lengths) for name, table in tables.items()} == {"epickitchens": 700, "captaincook4d": 9}
    for table in tables.values():
        assert worst(table, cutter) <= (BOUND, ""), table.name


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("table", PUBLISHED, ids=lambda table: table[0])
def test_invented_tables_stay_within_the_bound(table, seed, cutter):
    lengths = draw_lengths(*table, seed)
    assert worst(Table(table[0], False, lengths), cutter) <= (BOUND, "")


def test_shipped_settings_cut_tasks_as_finely(tmp_path):
    shipped = balance.Cutter(tmp_path)
    table = Table("toy", False, {f"video-{number:03d}": 100.0 for number in range(100)})
    for stage in balance.STAGES:
        assert max(task.weight for task in shipped.cut(table, stage).tasks) <= TASK_WEIGHT


def test_invented_tables_have_the_published_sizes():
    for table, (name, count, hours, _) in zip(iter_synthetic(), PUBLISHED, strict=True):
        assert (table.name, len(table.lengths)) == (name, count)
        assert table.total_s == pytest.approx(hours * 3600)


def test_striding_and_windows_by_hand():
    assert stride([1, 2, 3, 4, 5], 2) == 9
    elements = [[6.0, 2.0, 2.0], [4.0], [1.0], [8.0]]
    assert run_windows(elements, [Window(0, 4, 2)], Pool([1.0, 1.0], 2)) == 13  # 6 | 4 1 8
    assert run_windows(elements, [Window(0, 4, 2)], Pool([1.0, 2.0], 2)) == 6.5  # 6 | 2 0.5 4
    chained = [Window(0, 2, 1), Window(2, 1, 1), Window(3, 1, 1, after=1)]
    assert run_windows(elements, chained, Pool([1.0, 1.0], 2)) == 10  # 6 4 | 1, then 8
    assert run_windows([], [], Pool([1.0], 1)) == 0


def test_noise_is_the_same_each_time(cutter):
    table = Table("toy", False, {f"video-{number:03d}": 60.0 + number for number in range(400)})
    case = cutter.cut(table, "encode")
    assert case.noisy_ratio(2, 4) == case.noisy_ratio(2, 4)
    assert 1 < case.noisy_ratio(2, 4) < 1.2


def test_report_names_real_and_invented_tables(sample_data, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["balance", "--data", str(sample_data), "--task-weight", "600"])
    monkeypatch.setattr(balance, "NODES", (8, 64))
    assert balance.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| source | stage, workers per node | tasks | 8 nodes | 64 nodes |"
    assert len(lines) == 2 + 3 * (2 + len(PUBLISHED))
    assert "| epickitchens (real, 700, 100 h) | encode 8 | 475 | 1.01 / 2.05 | 1.00 / 1.13 |" in lines
    assert sum("(synthetic, " in line for line in lines) == 3 * len(PUBLISHED)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--data", "/nowhere"], "--data /nowhere is no folder"), (["--task-weight", "0"], "must be above 0")],
)
def test_a_wrong_word_is_one_line(words, message, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["balance", *words])
    with pytest.raises(SystemExit):
        balance.main()
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_without_real_tables_there_are_none(tmp_path: Path):
    assert list(iter_real(tmp_path)) == []
