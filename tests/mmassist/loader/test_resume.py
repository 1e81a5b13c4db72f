"""A loader goes on exactly where it was cut."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.errors import ConfigError
from mmassist.loader import PreparedDataset, PreparedLoader
from tests.mmassist.loader.folders import write_prepared

pytestmark = pytest.mark.long

pytest.importorskip("tokenizers")
pytest.importorskip("torch")
REPOSITORY = Path(__file__).resolve().parents[3]
SMALL = st.integers(1, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    shards = {f"train-{s:06d}": {f"video-{s}/s-{i:04d}": (1.0, 1.5)[i % 2] for i in range(4)} for s in range(5)}
    return write_prepared(tmp_path_factory.mktemp("data") / "toy" / "prepared" / "unit", shards)


def build(folder: Path, **settings) -> PreparedLoader:
    values = {"seed": 11, "window": 2, **settings}
    return PreparedLoader(PreparedDataset(folder, "train", **values), collate=lambda batch: [s["key"] for s in batch])


def take(loader: PreparedLoader, number: int) -> list[str]:
    """Keys of the next batches, then stop in the middle of the epoch."""
    return [key for _, batch in zip(range(number), loader, strict=False) for key in batch]


def sequence(folder: Path, epoch: int = 0) -> list[str]:
    return [key for _, key in PreparedDataset(folder, "train", seed=11, window=2).iter_keys(epoch)]


def test_killed_twice_and_gone_on_with_other_workers(folder, tmp_path):
    """Killed without workers, then with two that have read ahead; the third process has one."""
    found: list[str] = []
    for num_workers, num_batches in ((0, 3), (2, 4), (1, 0)):
        words = [str(folder), str(tmp_path / "state.json"), str(num_workers), str(num_batches)]
        command = [sys.executable, "-m", "tests.mmassist.loader.resume_run", *words]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == (-9 if num_batches else 0), done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(lines) == num_batches or not num_batches
        found += [key for line in lines for key in line]
    assert found == sequence(folder, 0) + sequence(folder, 1)


@given(SMALL, SMALL, SMALL, SMALL, st.integers(0, 8), st.integers(0, 2))
def test_any_cut_goes_on_with_any_ranks_and_batches(folder, ranks, batch_size, new_ranks, new_size, steps, epoch):
    whole = sequence(folder, epoch)
    steps = min(steps, len(whole) // (ranks * batch_size))
    loaders = [build(folder, batch_size=batch_size, rank=r, world_size=ranks) for r in range(ranks)]
    shares = []
    for loader in loaders:
        loader.set_epoch(epoch)
        shares.append(take(loader, steps))
    states = [json.loads(json.dumps(loader.state_dict())) for loader in loaders]
    assert all(state == states[0] for state in states)
    done = steps * ranks * batch_size
    assert [shares[i % ranks][i // ranks] for i in range(done)] == whole[:done]

    rest = []
    for rank in range(new_ranks):
        loader = build(folder, batch_size=new_size, rank=rank, world_size=new_ranks)
        loader.load_state_dict(states[0])
        rest.append([key for batch in loader for key in batch])
        assert (loader.epoch, loader.dataset.position) == (epoch + 1, 0)
    assert [rest[i % new_ranks][i // new_ranks] for i in range(len(whole) - done)] == whole[done:]


@pytest.mark.parametrize("options", [{"prefetch": 0}, {"prefetch": 5}, {"num_workers": 2, "prefetch_factor": 4}])
def test_the_state_is_of_what_was_handed_out_however_much_was_read_ahead(folder, options):
    loader = PreparedLoader(PreparedDataset(folder, "train", seed=11, window=2, batch_size=2), **options)
    assert loader.state_dict()["position"] == 0
    found = []
    for number, batch in enumerate(loader, 1):
        found += batch["keys"]
        assert loader.state_dict()["position"] == min(2 * number, len(loader.dataset)) == len(found)
    assert (loader.epoch, loader.state_dict()["position"]) == (1, 0)
    assert number == len(loader) == 13 and found == sequence(folder)


def test_spawned_workers_read_the_same_and_the_models_random_numbers_stay(folder):
    torch = pytest.importorskip("torch")
    before = torch.get_rng_state()
    dataset = PreparedDataset(folder, "train", seed=11, window=2, batch_size=13)
    loader = PreparedLoader(dataset, num_workers=1, multiprocessing_context="spawn")
    assert [key for batch in loader for key in batch["keys"]] == sequence(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_goes_wrong_ahead_is_raised_where_it_belongs(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "unit")
    loader = PreparedLoader(PreparedDataset(copy, "train", batch_size=4))
    with (copy / "shards" / "train-000001.tar").open("r+b") as file:
        file.truncate(1000)
    found: list[str] = []
    with pytest.raises(ConfigError, match=r"train-000001\.tar.*cut short"):
        for batch in loader:
            found += batch["keys"]
    assert found == [f"video-0/s-{i:04d}" for i in range(4)] and loader.state_dict()["position"] == 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_the_same_epoch_again_stays_where_it_stands(folder):
    loader = build(folder, batch_size=2)
    first = take(loader, 3)
    loader.set_epoch(0)
    assert first + take(loader, 100) == sequence(folder)
    assert take(loader, 100) == sequence(folder, 1)


def test_silence_goes_on_as_it_would_have_been(folder):
    def fresh():
        dataset = PreparedDataset(folder, "train", seed=11, neg_frame_sampling_rate=0.2)
        return PreparedLoader(dataset, collate=lambda batch: batch[0]["labels"].tolist())

    whole = list(fresh())
    first, second = fresh(), fresh()
    for _ in zip(range(5), first, strict=False):
        pass
    second.load_state_dict(first.state_dict())
    assert list(second) == whole[first.state_dict()["position"] :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 12}, "seed is 11 in it and 12 here"),
        ({"window": 3}, "window is 2 in it and 3 here"),
        ({"use_weights": False}, "sources is"),
        ({"epoch_size": 26}, "sources is"),
    ],
)
def test_a_state_of_another_order_is_refused(folder, change, message):
    state = build(folder).state_dict()
    with pytest.raises(ConfigError, match=message):
        build(folder, **change).load_state_dict(state)


def test_a_state_of_other_contents_is_refused(folder, tmp_path):
    shards = {f"train-{s:06d}": {f"other-{s}/s-{i:04d}": (1.0, 1.5)[i % 2] for i in range(4)} for s in range(5)}
    other = write_prepared(tmp_path / "toy" / "prepared" / "unit", shards)
    with pytest.raises(ConfigError, match="contents is"):
        build(other).load_state_dict(build(folder).state_dict())
    almost_the_same = build([(folder, 1.01)])
    assert len(almost_the_same.dataset) == len(build(folder).dataset)
    with pytest.raises(ConfigError, match="contents is"):
        almost_the_same.load_state_dict(build(folder).state_dict())
    with pytest.raises(ConfigError, match="version None"):
        build(folder).load_state_dict({})


def test_what_the_dataset_decides_is_no_option(folder):
    with pytest.raises(ConfigError, match="shuffle is no option of PreparedLoader"):
        PreparedLoader(PreparedDataset(folder, "train"), shuffle=True)
    with pytest.raises(ConfigError, match="prefetch is -1"):
        PreparedLoader(PreparedDataset(folder, "train"), prefetch=-1)
