from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.fingerprint import digest, iter_differences
from mmassist.core.rng import rng

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1, max_size=3), TREES, max_size=5))
def test_the_order_of_keys_does_not_matter(tree):
    assert digest(tree) == digest(dict(reversed(list(tree.items()))))


@given(st.dictionaries(st.text(min_size=1, max_size=3), TREES), st.dictionaries(st.text(min_size=1, max_size=3), TREES))
def test_trees_differ_exactly_when_a_difference_is_named(left, right):
    def without_none(tree):
        return {k: without_none(v) if isinstance(v, dict) else v for k, v in tree.items() if v is not None}

    if not list(iter_differences(left, right)):
        assert without_none(left) == without_none(right) or left == right
    if left == right:
        assert list(iter_differences(left, right)) == []


def test_differences_have_dotted_names():
    assert list(iter_differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})) == [("a.b", 1, 3)]


def test_draws_depend_on_what_they_are_for():
    assert rng("mix", "R1").random() == rng("mix", "R1").random()
    assert rng("mix", "R1").random() != rng("mix", "R2").random()
