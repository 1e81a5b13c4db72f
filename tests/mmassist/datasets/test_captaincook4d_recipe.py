import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.datasets.captaincook4d_recipe import clean_description, order_steps


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Whisk-Whisk two eggs", "Whisk two eggs"),
        ("Whisk -whisk   two eggs ", "Whisk two eggs"),
        ("Whisk -Keep on whisking for 15-30 seconds", "Keep on whisking for 15-30 seconds"),
        ("add-Measure 1 cup and add it", "Measure 1 cup and add it"),
        ("Add-1/2 tsp salt", "Add 1/2 tsp salt"),
        ("season-pepper to taste", "Season pepper to taste"),
        ("Measure and add-a pinch of salt", "Measure and add a pinch of salt"),
        ("half Fill- Half Fill a mug", "Half Fill a mug"),
        ("used a 6-oz. cup", "Used a 6-oz. cup"),
        ("no hyphen here", "No hyphen here"),
        ("", ""),
        (None, ""),
        (3, ""),
    ],
)
def test_descriptions_become_sentences(text, sentence):
    assert clean_description(text) == sentence


@given(st.text())
def test_any_text_is_survived(text):
    cleaned = clean_description(text)
    assert cleaned == " ".join(cleaned.split())


def test_all_published_descriptions_start_with_a_word(sample_data):
    path = sample_data / "captaincook4d/annotations/annotation_json/step_idx_description.json"
    texts = list(json.loads(path.read_text()).values())
    sentences = [clean_description(text) for text in texts]
    assert len(sentences) == 350
    assert all(sentence[0].isupper() for sentence in sentences)
    behind_the_verb = [" ".join(text.split("-", 1)[1].split()).lower() for text in texts]
    kept = [rest for rest, sentence in zip(behind_the_verb, sentences, strict=True) if sentence.lower() != rest]
    assert (len(kept), sum(rest[0].isdigit() for rest in kept)) == (26, 23)


GRAPHS = st.integers(1, 12).flatmap(
    lambda n: st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).map(sorted)).map(
        lambda edges: (n, edges)
    )
)


@given(GRAPHS, st.randoms())
def test_order_respects_every_edge_and_ignores_the_files_order(graph, random):
    num, edges = graph
    edges = [[a, b] for a, b in edges if a < b]
    steps = {str(number): f"Step{number}" for number in range(num)}
    order, remark = order_steps({"steps": steps, "edges": edges})
    places = {int(text[4:]): place for place, text in enumerate(order)}
    assert sorted(places) == list(range(num)) and not remark
    assert all(places[a] < places[b] for a, b in edges)
    shuffled = list(steps.items())
    random.shuffle(shuffled)
    random.shuffle(edges)
    assert order_steps({"steps": dict(shuffled), "edges": edges}) == (order, "")


def test_cycles_and_unknown_steps_lose_nothing():
    steps = {"0": "START", "1": "One", "2": "Two", "3": "Three", "9": "END"}
    order, remark = order_steps({"steps": steps, "edges": [[0, 1], [2, 3], [3, 2], [77, 1], "x", [3, 9]]})
    assert order == ["One", "Two", "Three"]
    assert "cycle" in remark
    for nothing in ({"steps": steps}, {"steps": steps, "edges": 5}, None, {}, {"steps": {}}, []):
        assert order_steps(nothing)[0] == []


def test_odd_nodes_are_named_and_cost_only_themselves():
    graph = {"steps": {"9" * 5000: "Mix-mix", "1": "Boil-boil", "2": None}, "edges": [["9" * 5000, 1]]}
    assert order_steps(graph) == (["Mix", "Boil"], "steps without description in the task graph left out")


def test_a_cycle_is_broken_inside_it():
    steps = {"0": "START", "1": "Serve", "5": "Mix", "6": "Beat", "7": "END", "8": None}
    order, remark = order_steps({"steps": steps, "edges": [[0, 5], [5, 6], [6, 5], [6, 1], [1, 7]]})
    assert order == ["Mix", "Beat", "Serve"] and "cycle" in remark
    chained = {"1": "Late", "2": "Later", "3": "Soon", "4": "Sooner"}
    edges = [[1, 2], [2, 1], [3, 4], [4, 3], [4, 1]]
    assert order_steps({"steps": chained, "edges": edges})[0] == ["Soon", "Sooner", "Late", "Later"]


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(st.integers(0, n - 1), min_size=2, max_size=2))))
def test_any_graph_keeps_every_step_once(edges):
    steps = {str(number): f"Step{number}" for number in range(8)}
    assert sorted(order_steps({"steps": steps, "edges": edges})[0]) == list(steps.values())
