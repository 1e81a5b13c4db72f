import csv
import io
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmassist.datasets.table import MAX_ROW_LINES, BadRow, Row, iter_records, iter_rows

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=8)


def rows_of(text, **settings):
    return list(iter_rows(io.StringIO(text, newline=""), **settings))


def written(rows, line_end="\n"):
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=line_end).writerows(rows)
    return file.getvalue()


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=8), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=200, deadline=None)
def test_what_is_written_by_the_rules_is_read_as_it_was(rows, line_end):
    found = rows_of("a,b,c" + line_end + written(rows, line_end))[1:]
    expected = [row for row in rows if not is_blank(row)]
    assert [row.cells for row in found] == expected
    assert all(one.line < other.line for one, other in pairwise(found))


def is_blank(row):
    return not written([row]).strip("\r\n\ufeff")


@given(st.lists(st.lists(st.sampled_from(["x", "y z", "1.5", ""]), min_size=3, max_size=3), min_size=2), st.data())
@settings(max_examples=100, deadline=None)
def test_one_stray_quote_costs_its_own_row_at_most(rows, data):
    lines = written(rows).splitlines()
    hurt = data.draw(st.integers(0, len(lines) - 1))
    place = data.draw(st.integers(0, len(lines[hurt])))
    broken = [*lines]
    broken[hurt] = lines[hurt][:place] + '"' + lines[hurt][place:]
    found = rows_of("\n".join(["a,b,c", *broken]) + "\n")[1:]
    others = [row.cells for row in found if isinstance(row, Row)]
    assert others == [rows[number] for number in range(len(rows)) if number != hurt]
    assert [row.line for row in found if isinstance(row, BadRow)] == [hurt + 2]


def test_lines_are_counted_through_line_ends_inside_fields():
    found = rows_of('a,b\n1,"two\nlines"\n\n3,4\n5\n6,7,8\n9,"x, y"\n')
    assert found == [
        Row(1, ["a", "b"]),
        Row(2, ["1", "two\nlines"]),
        Row(5, ["3", "4"]),
        BadRow(6, "1 columns instead of 2", cells=("5",)),
        BadRow(7, "3 columns instead of 2", cells=("6", "7", "8")),
        Row(8, ["9", "x, y"]),
    ]


def test_a_quote_that_is_never_closed_swallows_nothing():
    many = "".join(f"{number},x\n" for number in range(3 * MAX_ROW_LINES))
    found = rows_of(f'a,b\n1,"open\n{many}')
    assert found[1] == BadRow(2, "a quote that does not belong there, taken as text", Row(2, ["1", '"open']))
    assert found[2:] == [Row(number + 3, [str(number), "x"]) for number in range(3 * MAX_ROW_LINES)]
    found = rows_of('a,b\n1,2,"open\n3,4\n')
    assert found[1:] == [BadRow(2, "a quote that is never closed", cells=("1", "2", '"open')), Row(3, ["3", "4"])]


def test_records_are_named_columns_wherever_they_stand():
    text = "\ufeffuid , extra,text,text\r\nv1,x, first ,second\r\nv2,y\r\n"
    found = list(iter_records(io.StringIO(text, newline=""), ("text", "video"), aliases={"uid": "video"}))
    assert found == [(2, {"text": "first", "video": "v1"}), BadRow(3, "2 columns instead of 4", cells=("v2", "y"))]


def test_a_bad_row_says_whose_it_is_where_that_can_be_told():
    text = 'text,video\nx,v1\nx,v2,more\nx\n"y,v3\n'
    found = list(iter_records(io.StringIO(text, newline=""), ("text", "video"), owner="video"))
    bad = [row for row in found if isinstance(row, BadRow)]
    assert [(row.line, row.owner) for row in bad] == [(3, "v2"), (4, ""), (5, "v3")]
    assert found[0] == (2, {"text": "x", "video": "v1"}) and found[-1] == (5, {"text": '"y', "video": "v3"})


@pytest.mark.parametrize("text, missing", [("", "a, b"), ("a,c\n1,2\n", "b"), ("\n\n", "a, b")])
def test_a_missing_column_is_named(text, missing):
    with pytest.raises(KeyError, match=missing):
        list(iter_records(io.StringIO(text, newline=""), ("a", "b")))
