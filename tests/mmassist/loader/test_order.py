"""Invariants of an epoch's order, for any folders, seeds, ranks and workers."""

import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmassist.loader.order import UNIT, count_copies, deal, draw_copies, draw_epoch, interleave, share_of

SHARDS = st.lists(st.integers(0, 6), min_size=1, max_size=8).filter(sum)  # samples in each
OFTEN = st.one_of(st.just(1.0), st.integers(0, 3).map(float), st.floats(0, 4))
SMALL = st.integers(1, 5)


@st.composite
def epochs(draw):
    """Arguments of ``draw_epoch`` but seed and epoch: shards, expected copies, window."""
    shards_of, expected = [], []
    for sizes in draw(st.lists(SHARDS, min_size=1, max_size=3)):
        shards_of.append(np.repeat(np.arange(len(sizes)), sizes))
        often = draw(st.lists(OFTEN, min_size=sum(sizes), max_size=sum(sizes)))
        expected.append(np.array(often))
    return shards_of, expected, draw(SMALL)


def triples(epoch):
    return list(zip(epoch.source.tolist(), epoch.sample.tolist(), epoch.copy.tolist(), strict=True))


@given(epochs(), st.one_of(st.none(), st.integers(0, 1000)), st.integers(0, 50))
def test_every_sample_comes_as_often_as_declared(given_epoch, seed, number):
    shards_of, expected, window = given_epoch
    epoch = draw_epoch(shards_of, expected, window, seed, number)
    assert triples(epoch) == triples(draw_epoch(shards_of, expected, window, seed, number))
    found = Counter(triples(epoch))
    assert set(found.values()) <= {1}, "a copy comes twice"
    for source, often in enumerate(expected):
        copies = Counter(sample for own, sample, _ in found if own == source)
        assert copies.total() == count_copies(often)
        exact = np.rint(often * UNIT) / UNIT
        assert all(math.floor(exact[i]) <= copies[i] <= math.ceil(exact[i]) for i in range(len(often)))
        numbers = Counter((sample, copy) for own, sample, copy in found if own == source)
        assert all((sample, copy - 1) in numbers for sample, copy in numbers if copy), "copies are counted from 0"


@given(st.lists(OFTEN, min_size=1, max_size=40))
def test_the_number_of_copies_is_the_expected_one_rounded(often):
    expected = np.array(often)
    assert abs(count_copies(expected) - expected.sum()) <= 0.5 + 1e-6
    assert draw_copies(expected, "any").sum() == count_copies(expected)


def test_equal_weights_are_drawn_equally_often():
    often = np.full(20, 2.35)
    total = sum(draw_copies(often, epoch) for epoch in range(400)) / 400
    assert count_copies(often) == 47 and np.abs(total - 2.35).max() < 0.12


@given(epochs(), st.integers(0, 1000), st.integers(0, 50), SMALL, st.integers(0, 3), SMALL, st.booleans(), st.data())
def test_ranks_and_workers_cover_the_rest_of_the_epoch_exactly(
    given_epoch, seed, number, world_size, num_workers, batch_size, drop_last, data
):
    epoch_size = len(draw_epoch(*given_epoch, seed, number))
    start = data.draw(st.integers(0, epoch_size))
    whole = world_size * batch_size if drop_last else 1
    shares = [share_of(epoch_size, start, rank, world_size, whole) for rank in range(world_size)]
    end = epoch_size - (epoch_size - start) % whole
    assert sorted(place for share in shares for place in share) == list(range(start, end))
    assert max(map(len, shares)) - min(map(len, shares)) <= (0 if drop_last else 1)
    for share in shares:
        workers = [list(deal(share, batch_size, w, max(num_workers, 1))) for w in range(max(num_workers, 1))]
        taken = []
        while any(workers):  # as a DataLoader collects: a batch of each in turn
            for w, places in enumerate(workers):
                taken += places[:batch_size]
                workers[w] = places[batch_size:]
        assert taken == list(share)


@given(epochs(), st.integers(0, 1000), SMALL, SMALL, st.data())
def test_any_beginning_of_all_ranks_is_a_beginning_of_the_epoch(given_epoch, seed, world_size, batch_size, data):
    """So an epoch goes on with other numbers of ranks, and a state needs one number."""
    epoch_size = len(draw_epoch(*given_epoch, seed, 0))
    steps = data.draw(st.integers(0, epoch_size // (world_size * batch_size)))
    shares = [share_of(epoch_size, 0, rank, world_size) for rank in range(world_size)]
    done = [place for share in shares for place in share[: steps * batch_size]]
    assert sorted(done) == list(range(steps * batch_size * world_size))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=5), st.booleans(), st.integers(0, 99))
def test_sources_come_evenly(sizes, is_shuffled, seed):
    order = interleave(sizes, is_shuffled, seed)
    assert np.bincount(order, minlength=len(sizes)).tolist() == sizes
    for source, size in enumerate(sizes):
        share = size / max(sum(sizes), 1)
        off = np.abs(np.cumsum(order == source) - share * np.arange(1, len(order) + 1))
        assert off.max(initial=0) <= 1 + share * (len(sizes) - 1) + 1e-9


@given(SHARDS, SMALL, st.integers(0, 99))
def test_samples_of_a_window_come_together(sizes, window, seed):
    shard_of = np.repeat(np.arange(len(sizes)), sizes)
    epoch = draw_epoch([shard_of], [np.ones(len(shard_of))], window, seed, 0)
    met = shard_of[epoch.sample]
    spans = {shard: np.flatnonzero(met == shard) for shard in set(met.tolist())}
    for found in spans.values():
        inside = set(met[found[0] : found[-1] + 1].tolist())
        assert len(inside) <= window, "a window has samples of more shards"


def test_the_order_is_this_one_for_ever():
    """A state saved by an older version has to go on in the same order: never change these numbers."""
    shards = np.repeat(np.arange(4), 3)
    epoch = draw_epoch([shards, shards[:5]], [np.ones(12), np.full(5, 1.5)], 2, 7, 3)
    assert epoch.sample.tolist() == [0, 0, 5, 1, 4, 3, 3, 2, 1, 2, 4, 7, 8, 4, 11, 10, 1, 9, 0, 6]
    assert epoch.source.tolist() == [0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0]
