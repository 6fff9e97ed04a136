"""Recordings as Parquet: the same rows back, the same Recordings, and clear words where it cannot be."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frugal_core.cli import main
from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.learning import Recordings
from frugal_core.learning.grading import grade
from frugal_core.learning.lines import read_objects
from frugal_core.learning.parquet import read_rows, write_rows
from frugal_core.learning.row_file import RowFile
from recorded import four_queries, row, write

pa = pytest.importorskip("pyarrow", reason="Parquet needs the parquet extra")
pq = pytest.importorskip("pyarrow.parquet")

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[4] / "shared" / "data")

ODD = [
    row("q1", "small", logprobs=[-0.5, -0.25], samples=["a", "a", "b"], votes={"a": 2, "b": 1}, answer="é", extra=1),
    row("q1", "large", logprobs=None, samples=[], votes={"c": 3}, answer=None, correct=None, extra="text"),
    row("q2", "small", logprobs=[], samples=None, votes=None, answer="", correct=0.5, tools=[{"name": "f", "args": {}}]),
    row("q2", "large", nothing=None, cost_usd=1, big=2**70, empty={}, nested=[[1.5], []]),
]


def same(one: Recordings, other: Recordings) -> None:
    """Equal in every attribute."""
    for name, value in vars(one).items():
        theirs = getattr(other, name)
        if isinstance(value, dict):
            assert value.keys() == theirs.keys(), name
            for key in value:
                np.testing.assert_array_equal(value[key], theirs[key], err_msg=f"{name} {key}")
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, theirs, err_msg=name)
        else:
            assert value == theirs, name


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    assert write_rows(ODD, path) == 4
    names = {name for one in ODD for name in one}
    assert list(read_rows(path)) == [{name: one.get(name) for name in names} for one in ODD]
    assert list(tmp_path.iterdir()) == [path]


def test_plain_columns_have_types_of_their_own(tmp_path: Path) -> None:
    write_rows(ODD, tmp_path / "rows.parquet")
    schema = pq.read_schema(tmp_path / "rows.parquet")
    assert schema.field("correct").type == pa.float64()
    assert schema.field("logprobs").type == pa.list_(pa.float64())
    assert schema.field("samples").type == pa.list_(pa.string())
    assert {name for name in schema.names if (schema.field(name).metadata or {}).get(b"frugal") == b"json"} == {
        "votes",
        "extra",
        "tools",
        "big",
        "empty",
    }


def test_the_same_recordings_come_of_both(tmp_path: Path) -> None:
    lines = write(tmp_path / "rows.jsonl", ODD)
    write_rows((one for _, one in read_objects(lines)), tmp_path / "rows.parquet")
    (one,), (other,) = Recordings.read([lines]), Recordings.read([tmp_path / "rows.parquet"])
    assert one.signals.keys() == {"votes", "logprobs"}
    same(one, other)


@pytest.mark.parametrize("name", ["zellinger/mmlu.jsonl.gz", "bbh_codex/bbh_codex.jsonl.gz"])
def test_recorded_files_are_the_same_as_parquet(name: str, tmp_path: Path) -> None:
    if not (DATA / name).exists():
        pytest.skip("no recorded answers: set FRUGAL_DATA to their folder")
    rows = [one for number, one in read_objects(DATA / name) if number <= 2000]
    lines = write(tmp_path / "rows.jsonl", rows)
    write_rows(rows, tmp_path / "rows.parquet")
    for one, other in zip(Recordings.read([lines]), Recordings.read([tmp_path / "rows.parquet"]), strict=True):
        same(one, other)


def test_a_file_of_another_program_is_read(tmp_path: Path) -> None:
    rows = four_queries()
    columns = {name: [one[name] for one in rows] for name in rows[0]}
    columns["model"] = pa.array(columns["model"]).dictionary_encode()
    columns["margin"] = pa.array(columns["margin"], pa.float32())
    columns["correct"] = pa.array(columns["correct"], pa.int8())
    pq.write_table(pa.table(columns), tmp_path / "other")  # whatever its name
    (read,) = Recordings.read([tmp_path / "other"])
    (expected,) = Recordings.read([write(tmp_path / "rows.jsonl", rows)])
    np.testing.assert_allclose(read.signals["margin"], expected.signals["margin"], rtol=1e-6)
    np.testing.assert_array_equal(read.correct, expected.correct)


def test_the_command_line_takes_it(tmp_path: Path) -> None:
    write_rows(four_queries(), tmp_path / "rows.parquet")
    write(tmp_path / "rows.jsonl", four_queries())
    reports = []
    for name in ("rows.parquet", "rows.jsonl"):
        out = tmp_path / f"{name}.report"
        assert main(["evaluate", "--recordings", str(tmp_path / name), "--json", str(out)]) == 0
        reports.append(json.loads(out.read_text().replace(name, "rows")))
    assert reports[0] == reports[1]


def test_it_is_graded_in_place(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        row(f"q{n}", "small", correct=None, query="Where?", answer=answer, reference="Paris", votes={answer: 2})
        for n, answer in enumerate(["paris.", "Rome"])
    ]
    path = tmp_path / "rows.parquet"
    write_rows(rows, path)
    assert grade(path) == 2
    assert [(one["correct"], one["label"], one["votes"]) for one in read_rows(path)] == [
        (1.0, "gold", {"paris.": 2}),
        (0.0, "gold", {"Rome": 2}),
    ]
    assert grade(path) == 0


def test_what_a_grader_did_before_it_failed_is_kept(tmp_path: Path) -> None:
    write_rows([row(f"q{n}", correct=None, answer="a", reference="a") for n in range(2)], tmp_path / "rows.parquet")
    grades = iter([1.0])
    with pytest.raises(StopIteration):
        grade(tmp_path / "rows.parquet", lambda *_: next(grades))
    assert [one["correct"] for one in read_rows(tmp_path / "rows.parquet")] == [1.0, None]


def test_nothing_is_recorded_into_one(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    write_rows(ODD, path)
    before = path.read_bytes()
    with pytest.raises(RecordingsError, match=r"is a Parquet file.*\.jsonl"):
        RowFile(path)
    assert path.read_bytes() == before
    with pytest.raises(RecordingsError, match="is a Parquet file"):
        RowFile(tmp_path / "new.parquet")
    assert not (tmp_path / "new.parquet").exists()


def test_broken_files_are_told_with_their_names(tmp_path: Path) -> None:
    write_rows(ODD, tmp_path / "whole")
    torn = tmp_path / "torn.parquet"
    torn.write_bytes((tmp_path / "whole").read_bytes()[:-20])
    with pytest.raises(RecordingsError, match=r"torn\.parquet: is no whole Parquet file"):
        Recordings.read([torn])
    with pytest.raises(RecordingsError, match=r"none\.parquet: cannot be read"):
        list(read_rows(tmp_path / "none.parquet"))
    with pytest.raises(RecordingsError, match="no rows to write"):
        write_rows([], tmp_path / "empty.parquet")
    pq.write_table(pa.table({"dataset": pa.array([], pa.string())}), tmp_path / "nothing.parquet")
    with pytest.raises(RecordingsError, match="is empty"):
        Recordings.read([tmp_path / "nothing.parquet"])
    with pytest.raises(RecordingsError, match="cannot be written"):
        write_rows(ODD, tmp_path / "no folder" / "rows.parquet")


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(ODD, tmp_path / "rows.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'langchain-frugal\[parquet\]'"):
        Recordings.read([tmp_path / "rows.parquet"])
    with pytest.raises(ConfigurationError, match="pyarrow"):
        write_rows(ODD, tmp_path / "more.parquet")
