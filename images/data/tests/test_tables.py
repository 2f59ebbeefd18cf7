"""Tables, good and broken: what is told of them, with the file and the line."""

from __future__ import annotations

import csv
import io
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainyard_data.checks.dispatch import run
from trainyard_data.checks.subject import Subject
from trainyard_data.columns import Column
from trainyard_data.findings import Findings
from trainyard_data.formats import tables
from trainyard_data.tree import listed

NUMBERS = "a,b\n" + "".join(f"{n},{n / 4}\n" for n in range(200))

GOOD: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "one file": (
        {"a.csv": "x,y,target\n1,2.5,cat\n2,,dog\n3,1e3,cat\n"},
        {},
        {
            "summary": "3 rows, 3 columns, 2 classes",
            "rows": 3,
            "columns": 3,
            "target": "target",
            "classes": [{"name": "cat", "count": 2}, {"name": "dog", "count": 1}],
            "columnProfiles": [
                {"name": "x", "type": "number", "missing": 0, "distinct": 3, "min": "1", "max": "3"},
                {"name": "y", "type": "number", "missing": 1, "distinct": 2, "min": "2.5", "max": "1000"},
                {"name": "target", "type": "text", "missing": 0, "distinct": 2},
            ],
        },
    ),
    "parts by the names of the files": (
        {"train.csv": "x,target\n1,0\n2,1\n", "val-0001.csv": "x,target\n5,1\n"},
        {},
        {"splits": [{"name": "train", "count": 2}, {"name": "val", "count": 1}], "rows": 3},
    ),
    "parts by folders": (
        {"train/a.csv": "x,y\n1,0\n", "test/a.csv": "x\n5\n"},
        {"target": "y"},
        {"splits": [{"name": "train", "count": 1}, {"name": "test", "count": 1}]},
    ),
    "a header below empty lines": (
        {"a.csv": "\ufeff\n\nx,y\n1,2\n3,4\n"},
        {},
        {"summary": "2 rows, 2 columns, 2 classes"},
    ),
    "a header of two lines": (
        {"a.csv": '"x\nin m",y\n1,2\n3,4\n'},
        {},
        {"summary": "2 rows, 2 columns, 2 classes"},
    ),
    "a quantity to predict has no classes": (
        {"a.csv": "x,y\n" + "".join(f"{n},{n / 7}\n" for n in range(50))},
        {"target": "y"},
        {"summary": "50 rows, 2 columns", "target": "y"},
    ),
    "whole numbers up to 20 are classes": (
        {"a.csv": "x,label\n" + "".join(f"{n},{n % 10}\n" for n in range(50))},
        {},
        {"summary": "50 rows, 2 columns, 10 classes", "target": "label"},
    ),
    "times and booleans": (
        {"a.csv": "t,b\n2024-01-02,true\n2023-12-31 10:00:00,False\n"},
        {},
        {
            "columnProfiles": [
                {
                    "name": "t",
                    "type": "time",
                    "missing": 0,
                    "distinct": 2,
                    "min": "2023-12-31 10:00:00",
                    "max": "2024-01-02",
                },
                {"name": "b", "type": "boolean", "missing": 0, "distinct": 2},
            ]
        },
    ),
    "a byte order mark, spaces, quotes with line ends, Windows line ends": (
        {"a.csv": b'\xef\xbb\xbfx, y\r\n1, "two\r\nlines, really"\r\n2,"a ""word"""\r\n'},
        {},
        {"rows": 2, "columns": 2},
    ),
    "no line end at the end": ({"a.csv": "x,y\n1,2"}, {}, {"rows": 1}),
    "another name than the usual suffix's case": ({"A.CSV": "x,y\n1,2\n"}, {}, {"rows": 1}),
    "hidden files and others are no tables": (
        {".a.csv": "broken\x00", "README.md": "hello", "a.csv": "x,y\n1,2\n"},
        {},
        {"rows": 1, "files": 2},
    ),
}

BROKEN: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, int | None, str]]] = {
    "no table at all": ({"README.md": "x"}, {}, (".", None, "There is no .csv file.")),
    "a table that is packed": (
        {"a.csv.gz": b"\x1f\x8b"},
        {},
        (".", None, "There is no .csv file. Unpack a.csv.gz first."),
    ),
    "nothing at all": ({}, {}, (".", None, "The dataset is empty: there is no file.")),
    "0 bytes": ({"a.csv": ""}, {}, ("a.csv", None, "The file is empty. It needs a header line and rows.")),
    "blank lines only": ({"a.csv": "\n\n\n"}, {}, ("a.csv", 1, "The file has no header line.")),
    "a header and no rows": ({"a.csv": "x,y\n"}, {}, ("a.csv", None, "The file has a header but no rows.")),
    "a short row": (
        {"a.csv": NUMBERS + "7\n" + "1,2\n"},
        {},
        ("a.csv", 202, "The row has 1 cell, but there are 2 columns."),
    ),
    "a long row after a quoted line end": (
        {"a.csv": 'x,y\n1,"a\nb"\n1,2,3\n'},
        {},
        ("a.csv", 4, "The row has 3 cells, but there are 2 columns."),
    ),
    "a quotation mark that is not closed": (
        {"a.csv": 'x,y\n1,2\n3,"4\n' + "5,6\n" * 400_000},
        {},
        ("a.csv", 3, "The row cannot be read: a cell is too long (is a quotation mark not closed?)."),
    ),
    "a quotation mark that is not closed in a small file": (
        {"a.csv": 'x,y\n1,2\n3,"4\n5,6\n'},
        {},
        ("a.csv", 3, "The row cannot be read: a quotation mark is not closed."),
    ),
    "a cell of two million digits": (
        {"a.csv": "x,y\n1,2\n" + "1" * 2_000_000 + ",2\n"},
        {},
        ("a.csv", 3, "The row cannot be read: a cell is too long (is a quotation mark not closed?)."),
    ),
    "an endless line": (
        {"a.csv": "x,y\n" + "1" * 10_000_000 + ",2\n"},
        {},
        ("a.csv", 2, "The line is longer than 8,388,608 bytes: is this the right file?"),
    ),
    "Latin-1": (
        {"a.csv": "x,y\n1,a\n2,\xe4\n".encode("latin-1")},
        {},
        ("a.csv", 3, "The line is not UTF-8: save the file as UTF-8."),
    ),
    "UTF-16": (
        {"a.csv": "x,y\n1,2\n".encode("utf-16")},
        {},
        ("a.csv", 1, "The file is UTF-16: save it as UTF-8."),
    ),
    "carriage returns alone": (
        {"a.csv": "x,y\r1,2\r3,4\r"},
        {},
        (
            "a.csv",
            1,
            "The row cannot be read: a carriage return has no line feed after it: save the file with other line ends.",
        ),
    ),
    "zero bytes": (
        {"a.csv": b"x,y\n1,a\n2,b\0c\n"},
        {},
        ("a.csv", 3, "The line has zero bytes: this is no text."),
    ),
    "a picture with the name of a table": (
        {"a.csv": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"},
        {},
        ("a.csv", 1, "The line is not UTF-8: save the file as UTF-8."),
    ),
    "a name twice in the header": (
        {"a.csv": "x,y,x\n1,2,3\n"},
        {},
        ("a.csv", 1, 'There is more than one column "x": rename or remove one.'),
    ),
    "a column without a name": (
        {"a.csv": "x,,y\n1,2,3\n"},
        {},
        ("a.csv", 1, "Column 2 has no name in the header line."),
    ),
    "semicolons": (
        {"a.csv": "x;y\n1;2\n"},
        {},
        ("a.csv", 1, "The columns are separated by semicolons: separate them by commas."),
    ),
    "no header": (
        {"a.csv": "1,2\n3,4\n"},
        {},
        ("a.csv", 1, 'There is no header line: the first line is all numbers ("1", ...).'),
    ),
    "no target": (
        {"a.csv": "x,y\n1,2\n"},
        {"target": "z"},
        ("a.csv", 1, 'There is no column "z", the target. There are "x", "y".'),
    ),
    "an empty target": (
        {"a.csv": "x,y\n1,\n2,NA\n"},
        {"target": "y"},
        ("a.csv", None, 'The target "y" is empty in every row.'),
    ),
    "a word among numbers": (
        {"a.csv": NUMBERS.replace("100,25.0", "100,abc")},
        {},
        ("a.csv", 102, "Column \"b\" holds numbers, but 'abc' is none."),
    ),
    "another column in the second file": (
        {"a.csv": "x,y\n1,2\n", "b.csv": "x,z\n1,2\n"},
        {},
        ("b.csv", 1, 'The column "y" is missing, which a.csv has.'),
    ),
    "one more column in the second file": (
        {"a.csv": "x,y\n1,2\n", "b.csv": "x,y,z\n1,2,3\n"},
        {},
        ("b.csv", 1, 'There is a column "z", which a.csv does not have.'),
    ),
    "text in the second file": (
        {"a.csv": "x,y\n1,2\n", "b.csv": "x,y\n1,2\nm,2\n"},
        {},
        ("b.csv", 3, 'Column "x" holds text here, but numbers in a.csv.'),
    ),
}

PARQUET = {
    "cut off": (lambda data: data[:-20], "This is no whole Parquet file"),
    "not Parquet": (lambda data: b"x,y\n1,2\n", "This is no whole Parquet file"),
    "0 bytes": (lambda data: b"", "This is no whole Parquet file"),
    "damaged inside": (lambda data: data[:8] + b"\xff" * 40 + data[48:], "The file is broken"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_table(name, checked):
    files, order, expected = GOOD[name]
    run = checked(files, "tabular", "csv", **order)
    assert (run.code, run.first, run.terminated) == (0, None, {"valid": True, "error": ""})
    assert {key: run.profile.get(key) for key in expected} == expected


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_table(name, checked):
    files, order, expected = BROKEN[name]
    run = checked(files, "tabular", "csv", **order)
    assert run.first == expected
    assert (run.code, run.verdict["valid"], run.terminated["valid"]) == (0, False, False)
    path, line, message = expected
    assert run.terminated["error"].startswith(
        f"{path}, line {line}: {message}" if line else f"{path}: {message}"
    )


def test_says_how_many_files_have_problems_and_reads_on_after_the_first(checked):
    files = {f"{n}.csv": "x,y\n1,2\n1\n2,3,4\n" for n in range(3)} | {"9.csv": "x,y\n1,2\n"}
    run = checked(files, "tabular", "csv")
    assert run.verdict["problems"] == 3
    assert (
        run.terminated["error"]
        == "0.csv, line 3: The row has 1 cell, but there are 2 columns. (3 files have problems)"
    )
    assert "2.csv, line 4: The row has 3 cells, but there are 2 columns." in run.text.splitlines()
    assert (run.profile["rows"], run.verdict["filesChecked"]) == (4, 4)


def test_profiles_a_parquet_file_by_its_types(checked, table):
    files = {
        "a.parquet": table(
            n=[1, None, 3], f=[0.5, float("nan"), 2.0], b=[True, False, True], s=["p", "q", "p"]
        ),
        "b.parquet": table(n=[7], f=[0.25], b=[True], s=["r"]),
    }
    run = checked(files, "tabular", "parquet", target="s")
    assert run.first is None
    assert run.profile["columnProfiles"] == [
        {"name": "n", "type": "number", "missing": 1, "distinct": 3, "min": "1", "max": "7"},
        {"name": "f", "type": "number", "missing": 1, "distinct": 3, "min": "0.25", "max": "2"},
        {"name": "b", "type": "boolean", "missing": 0, "distinct": 2},
        {"name": "s", "type": "text", "missing": 0, "distinct": 3},
    ]
    assert run.profile["summary"] == "4 rows, 4 columns, 3 classes"


@pytest.mark.parametrize("name", PARQUET)
def test_a_broken_parquet_file(name, checked, table):
    damage, expected = PARQUET[name]
    run = checked(
        {"a.parquet": damage(table(x=list(range(1000)), y=[str(n) for n in range(1000)]))},
        "tabular",
        "parquet",
    )
    path, line, message = run.first
    assert (path, line) == ("a.parquet", None)
    assert message.startswith(expected)


def test_halves_of_letters_in_names_are_told(checked):
    """JSON can say what UTF-8 cannot."""
    categories = '[{"id": 1, "name": "a\\ud800"}, {"id": 2, "name": "a\\ud800"}]'
    text = f'{{"images": [], "categories": {categories}, "annotations": []}}'
    run = checked({"a.json": text}, "object_detection", "coco")
    assert run.first == ("a.json", 1, "The name 'a\\ud800' is that of another category, too.")


def test_a_table_without_a_fitting_format_is_read_where_there_is_one(checked):
    assert checked({"a.csv": "x,y\n1,2\n"}, "tabular", "default").profile["rows"] == 1
    assert "rows" not in checked({"a.bin": b"\0\1"}, "tabular", "raw").profile


def test_more_different_values_than_are_counted_are_left_out_of_the_profile(checked):
    run = checked({"a.csv": "x,y\n" + "".join(f"{n},a{n}\n" for n in range(6_000))}, "tabular", "csv")
    assert run.first is None
    assert ["distinct" in one for one in run.profile["columnProfiles"]] == [False, False]


def test_names_of_every_length_and_script_fit_into_the_verdict(checked):
    names = [f"{n}" + "日" * 300 for n in range(200)]
    run = checked({"a.csv": ",".join(names) + "\n" + ",".join("1" * 200) + "\n"}, "tabular", "csv")
    assert run.first is None
    assert len(run.text.splitlines()[-1].encode()) < 200 * 1024
    assert max(len(one["name"]) for one in run.profile["columnProfiles"]) == 253


CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)


@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=30))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_ways_of_reading_csv_find_the_same_cells(rows, tmp_path):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
    writer.writerows([["x", "y"], *rows])
    (tmp_path / "a.csv").write_bytes(stream.getvalue().encode())
    tree, findings = listed(tmp_path, Findings()), Findings()
    try:
        fast = [batch.to_pylist() for batch in tables.batches(tree, "a.csv")]
    except tables.Inexact:
        return
    exact = [batch.to_pylist() for batch in tables.exact_batches(tree, "a.csv", findings)]
    assert list(chain(*fast)) == list(chain(*exact))
    assert not len(findings)


@given(text=st.binary(max_size=400))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_makes_the_check_fall_over(text, tmp_path):
    (tmp_path / "a.csv").write_bytes(text)
    subject = Subject(listed(tmp_path, Findings()), "tabular", "csv")
    run(subject)
    assert len(subject.findings) or subject.profile.rows


@given(
    values=st.lists(
        st.one_of(st.just(""), st.just("NA"), st.floats(-1e6, 1e6).map(str), st.integers().map(str))
    )
)
@settings(max_examples=60, deadline=None)
def test_a_column_counts_as_python_does(values):
    import pyarrow as pa

    whole, halves = Column("x"), Column("x")
    whole.add(pa.array(values, pa.string()))
    other = Column("x")
    halves.add(pa.array(values[: len(values) // 2], pa.string()))
    other.add(pa.array(values[len(values) // 2 :], pa.string()))
    halves.merge(other)
    numbers = [float(value) for value in values if value not in ("", "NA")]
    for column in (whole, halves):
        assert (column.rows, column.missing, column.numbers) == (
            len(values),
            len(values) - len(numbers),
            len(numbers),
        )
        assert column.distinct == set(numbers)
        if numbers:
            assert (column.least, column.most) == (min(numbers), max(numbers))
