import json
from importlib.metadata import EntryPoint

import pytest

from frugal_core import cli
from frugal_core.cli import main
from frugal_core.errors import FrugalWarning
from frugal_core.learning import Recordings

QUESTIONS = [("What is 12 plus 7?", "19"), ("What is 3 plus 4?", "7"), ("What is 40 plus 2?", "42")]


@pytest.fixture(autouse=True)
def command(monkeypatch):
    monkeypatch.setattr(cli, "entry_points", lambda group: [EntryPoint("record", "langchain_frugal.record_command", group)])


@pytest.fixture
def queries(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps({"query": text, "reference": answer, "level": 1}) + "\n" for text, answer in QUESTIONS))
    return path


def recorded(capsys, *arguments, models=("playground:small", "playground-large")):
    status = main(["record", "--models", *models, *map(str, arguments)])
    captured = capsys.readouterr()
    return status, " ".join(captured.out.split()), " ".join(captured.err.split())


def test_json_lines_are_asked_and_graded(queries, tmp_path, capsys):
    file = tmp_path / "sums.jsonl"
    status, out, err = recorded(capsys, "--queries", queries, "--out", file)
    assert status == 0
    assert "6 rows, 6 calls in this run" in out
    assert "0 failed, 0 missing" in out
    assert f"frugal evaluate --recordings {file} --policies all" in out
    assert "Estimated cost" in err
    (recordings,) = Recordings.read([file])
    recordings = recordings.select(["playground-small", "playground-large"])  # the file has them as they answered
    assert recordings.dataset == "sums"
    assert set(recordings.references) == {"19", "7", "42"}
    assert recordings.correct[:, 1].tolist() == [1, 1, 1]
    assert json.loads(file.read_text().splitlines()[0])["level"] == 1


def test_run_again_nothing_is_asked(queries, tmp_path, capsys):
    file = tmp_path / "sums.jsonl"
    recorded(capsys, "--queries", queries, "--out", file)
    before = file.read_bytes()
    status, out, _ = recorded(capsys, "--queries", queries, "--out", file)
    assert (status, "0 calls in this run" in out) == (0, True)
    assert file.read_bytes() == before


def test_text_files_and_options(tmp_path, capsys):
    queries, file = tmp_path / "questions.txt", tmp_path / "answers.jsonl"
    queries.write_text("\nWhat is 1 plus 1?\n\n  What is 2 plus 2?  \n", encoding="utf-8")
    arguments = ("--samples", "1", "--temperature", "0.7", "--labels", "none", "--dataset", "named", "--train-share", "1")
    prices = ("--prices", "playground-small=1,2", "playground-large=10,20", "--max-concurrency", "2")
    status, _, _ = recorded(capsys, "--queries", queries, "--out", file, *arguments, *prices)
    assert status == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {row["query"] for row in rows} == {"What is 1 plus 1?", "What is 2 plus 2?"}
    assert {(row["dataset"], row["split"], row["correct"], len(row["samples"])) for row in rows} == {
        ("named", "train", None, 1)
    }
    for row in rows:
        rate = 1e-6 if row["model"] == "playground-small" else 1e-5
        assert row["cost_answer_usd"] == pytest.approx(rate * (row["prompt_tokens"] + 2 * row["completion_tokens"]))


def test_too_little_money_asks_nothing(queries, tmp_path, capsys):
    file = tmp_path / "answers.jsonl"
    arguments = ("--max-usd", "0.001", "--prices", "playground-small=100,100", "playground-large=100,100")
    status, _, err = recorded(capsys, "--queries", queries, "--out", file, *arguments)
    assert status == 2
    assert "max_usd=0.001 is too little" in err
    assert not file.exists() or not file.read_text()


def test_expected_length_of_answers(queries, tmp_path, capsys):
    arguments = ("--output-tokens", "12", "--prices", "playground-small=1,1", "playground-large=1,1")
    status, _, err = recorded(capsys, "--queries", queries, "--out", tmp_path / "answers.jsonl", *arguments)
    assert status == 0
    assert "assuming answers of 12 tokens." in err


def test_failures_show_in_the_status(tmp_path, capsys):
    queries, file = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    queries.write_text(json.dumps({"query": "What is 1 plus 1? " * 400, "reference": "2"}) + "\n")
    with pytest.warns(FrugalWarning, match="2 of 2 rows are failures"):
        status, out, _ = recorded(capsys, "--queries", queries, "--out", file)
    assert status == 1
    assert "2 failed" in out


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["--models", "playground:huge"], "the playground has playground:small, playground:medium, playground:large"),
        (["--prices", "playground-small"], "give MODEL=IN,OUT in USD per million tokens"),
        (["--prices", "playground-small=1"], "give MODEL=IN,OUT in USD per million tokens"),
        (["--prices", "playground-small=1,-2"], "give MODEL=IN,OUT in USD per million tokens"),
        (["--out", "no/such/folder/a.jsonl"], "there is no folder"),
        (["--samples", "-1"], "samples=-1"),
    ],
)
def test_refused(queries, tmp_path, capsys, arguments, seen):
    status, out, err = recorded(capsys, "--queries", queries, "--out", tmp_path / "a.jsonl", *arguments)
    assert (status, out) == (2, "")
    assert seen in err


@pytest.mark.parametrize(
    ("name", "content", "seen"),
    [
        ("q.jsonl", b'{"question": "?"}\n', "row 1: has no 'query'; it has question"),
        ("q.jsonl", b"no json\n", "row 1"),
        ("q.txt", b"\n \n", "holds no query"),
        ("q.txt", b"\xff\xfe", "is not UTF-8 text"),
        ("q.txt", None, "cannot be read"),
    ],
)
def test_unusable_queries(tmp_path, capsys, name, content, seen):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    status, _, err = recorded(capsys, "--queries", path, "--out", tmp_path / "a.jsonl")
    assert status == 2
    assert seen in err


def test_unknown_costs_are_not_shown_as_nothing(tmp_path, capsys, monkeypatch):
    import frugal_core.pricing

    monkeypatch.setattr(frugal_core.pricing, "_default_book", lambda: frugal_core.pricing.PriceBook({}))
    path = tmp_path / "questions.txt"
    path.write_text("What is 12 plus 7?\n")
    with pytest.warns(FrugalWarning, match="No price is known"):
        _, out, _ = recorded(capsys, "--queries", path, "--out", tmp_path / "out.jsonl")
    assert "2 rows of unknown cost (give --prices)" in out
    assert "$" not in out
