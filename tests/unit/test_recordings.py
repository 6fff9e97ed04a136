import gzip
import json

import numpy as np
import pytest

from frugal_core.errors import RecordingsError
from frugal_core.learning import Recordings
from recorded import four_queries, row, write


def read(tmp_path, rows, **options):
    return Recordings.read([write(tmp_path / "r.jsonl", rows)], **options)


def refused(tmp_path, rows, **options):
    with pytest.raises(RecordingsError) as caught:
        read(tmp_path, rows, **options)
    return str(caught.value)


def test_reads_queries_and_models(tmp_path):
    (recordings,) = read(tmp_path, four_queries(query="Why?", reference="A", answer="B"))
    assert recordings.dataset == "tiny"
    assert recordings.models == ("small", "large")
    assert recordings.query_ids[:2] == ("train0", "train1")
    assert recordings.train.tolist() == [True] * 4 + [False] * 4
    assert recordings.correct[:4].tolist() == [[1, 1], [0, 1], [1, 0], [0, 1]]
    assert recordings.signals["margin"][:4, 0].tolist() == [0.9, 0.1, 0.8, 0.2]
    assert np.isnan(recordings.signals["margin"][:, 1]).all()
    assert recordings.values["cost_usd"][0].tolist() == [1.0, 4.0]
    assert np.isnan(recordings.values["params_b"]).all()
    assert recordings.queries[0] == "Why?"
    assert recordings.references[0] == "A"
    assert recordings.answers[0, 0] == "B"


def test_only_recorded_signals_are_listed(tmp_path):
    assert set(read(tmp_path, four_queries())[0].signals) == {"margin"}
    assert read(tmp_path, [row()])[0].signals == {}


def test_gzip_is_told_by_its_content(tmp_path):
    path = tmp_path / "no_ending"
    path.write_bytes(gzip.compress(json.dumps(row()).encode()))
    assert Recordings.read([path])[0].models == ("small",)


def test_a_dataset_may_span_files_and_a_file_hold_datasets(tmp_path):
    one = write(tmp_path / "1.jsonl", [row(model="small"), row(dataset="other")])
    two = write(tmp_path / "2.jsonl", [row(model="large")])
    tiny, other = Recordings.read([one, two])
    assert tiny.models == ("small", "large")
    assert other.dataset == "other"


def test_numbers_serve_as_identifiers_and_booleans_as_grades(tmp_path):
    (recordings,) = read(tmp_path, [row(7, correct=True)])
    assert recordings.query_ids == ("7",)
    assert recordings.correct.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("fields", "signal", "score"),
    [
        ({"confidence_logp": -1.0}, "confidence_logp", np.exp(-1)),
        ({"confidence_logp": None, "confidence_neg_inf": True}, "confidence_logp", 0.0),
        ({"p_top1": 0.4}, "p_top1", 0.4),
        ({"logprobs": [-1.0, -3.0]}, "logprobs", np.exp(-2)),
        ({"samples": ["4", "5", "4", "4"]}, "votes", 0.75),
        ({"votes": {"4": 3, "5": 1}}, "votes", 0.75),
    ],
)
def test_signals_become_confidence(tmp_path, fields, signal, score):
    (recordings,) = read(tmp_path, [row(**fields)])
    assert recordings.signals[signal].tolist() == [[pytest.approx(score)]]


def test_one_sample_tells_nothing(tmp_path):
    (recordings,) = read(tmp_path, [row(samples=["4"])])
    assert "votes" not in recordings.signals
    assert recordings.samples.tolist() == [[1.0]]


def test_a_largest_probability_of_0_is_no_signal(tmp_path):
    (recordings,) = read(tmp_path, [row(p_top1=0.0), row("q2", p_top1=0.5)])
    assert np.isnan(recordings.signals["p_top1"]).ravel().tolist() == [True, False]


@pytest.mark.parametrize(("values", "scores"), [([0.2, 0.9], [0.2, 0.9]), ([-1.0, 0.0], [np.exp(-1), 1.0])])
def test_any_column_of_probabilities_can_be_a_signal(tmp_path, values, scores):
    rows = [row(f"q{i}", own=value) for i, value in enumerate(values)]
    (recordings,) = read(tmp_path, rows, columns=("own",))
    assert recordings.signals["own"].ravel().tolist() == pytest.approx(scores)


def test_an_answer_nobody_graded_counts_as_absent(tmp_path):
    (recordings,) = read(tmp_path, [row(correct=None), row("q2")])
    assert recordings.present.tolist() == [[False], [True]]


def test_select_orders_models(tmp_path):
    (recordings,) = read(tmp_path, four_queries())
    chosen = recordings.select(["large", "small"])
    assert chosen.models == ("large", "small")
    assert chosen.correct[1].tolist() == [1, 0]


def test_nine_in_ten_common_queries_are_enough(tmp_path):
    rows = [row(f"q{i}", model) for i in range(10) for model in ("small", "large") if (i, model) != (3, "large")]
    aligned = read(tmp_path, rows)[0].aligned()
    assert len(aligned.query_ids) == 9
    assert "q3" not in aligned.query_ids


# --- what is refused, and how ---


def test_different_queries(tmp_path):
    rows = [row(f"q{i}", "small") for i in range(10)] + [row(f"q{i}", "large") for i in range(8)]
    with pytest.raises(RecordingsError, match=r"8 of 10 queries \(80%\).*at least 90%.*large 8, small 10.*--models"):
        read(tmp_path, rows)[0].aligned()


@pytest.mark.parametrize("field", ["query_id", "model", "split", "correct", "dataset"])
def test_missing_field(tmp_path, field):
    broken = row("q2")
    del broken[field]
    message = refused(tmp_path, [row(), broken])
    assert "r.jsonl, row 2" in message
    assert field in message
    assert "Every row needs dataset, query_id, model, split, correct" in message


def test_repeated_row(tmp_path):
    message = refused(tmp_path, [row(), row("q2"), row()])
    assert "row 3 (query 'q1', model 'small'): repeats row 1 of" in message
    assert "Keep one row" in message


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({"correct": 2}, "correct is 2; it must be a number from 0 to 1"),
        ({"correct": -0.1}, "correct is -0.1; it must be a number from 0 to 1"),
        ({"correct": "yes"}, "correct is 'yes', which is not a number"),
        ({"correct": float("nan")}, "correct is nan; it must be a number from 0 to 1"),
        ({"cost_usd": float("nan")}, "cost_usd is nan; it must be a number of 0 or more, and finite"),
        ({"cost_usd": float("inf")}, "cost_usd is inf; it must be a number of 0 or more, and finite"),
        ({"cost_answer_usd": -1}, "cost_answer_usd is -1; it must be a number of 0 or more, and finite"),
        ({"prompt_tokens": [3]}, "prompt_tokens is [3], which is not a number"),
        ({"margin": 1.5}, "margin is 1.5; it must be a number from 0 to 1"),
        ({"margin": "0.5"}, "margin is '0.5', which is not a number"),
        ({"p_top1": float("nan")}, "p_top1 is nan"),
        ({"confidence_logp": 0.5}, "confidence_logp is 0.5; it must be a number of 0 or less"),
        ({"logprobs": [0.5]}, "logprobs is '[0.5]'"),
        ({"logprobs": "high"}, "logprobs is 'high', which is not a number"),
    ],
)
def test_wrong_value(tmp_path, fields, seen):
    message = refused(tmp_path, [row(), row("q2", **fields), row("q3")])
    assert "row 2 (query 'q2', model 'small')" in message
    assert seen in message
    assert message.endswith(".")


def test_own_signal_out_of_range(tmp_path):
    message = refused(tmp_path, [row(own=0.5), row("q2", own=7)], columns=("own",))
    assert "row 2" in message
    assert "own is 7; it must be a number from 0 to 1" in message


def test_unknown_split(tmp_path):
    assert "row 1 (query 'q1', model 'small'): split is 'dev'" in refused(tmp_path, [row(split="dev")])


def test_a_query_in_both_splits(tmp_path):
    message = refused(tmp_path, [row(), row(model="large", split="test")])
    assert "row 2 (query 'q1', model 'large'): its split is 'test', but row 1" in message


@pytest.mark.parametrize("value", ["", None, ["x"], True])
def test_unusable_name(tmp_path, value):
    assert "row 1: model is" in refused(tmp_path, [row(model=value)])


def test_not_json(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(row()) + "\nmodel,correct\n", encoding="utf-8")
    with pytest.raises(RecordingsError, match=r"row 2: is not JSON \(.*\); it begins 'model,correct'"):
        Recordings.read([path])


def test_not_an_object(tmp_path):
    with pytest.raises(RecordingsError, match="row 1: is a JSON list"):
        Recordings.read([write(tmp_path / "r.jsonl", [[1, 2]])])


def test_not_utf8(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"dataset": "\xff"}\n')
    with pytest.raises(RecordingsError, match="row 1: is not UTF-8"):
        Recordings.read([path])


def test_empty_file(tmp_path):
    with pytest.raises(RecordingsError, match=r"r\.jsonl: is empty \(0 rows\)"):
        Recordings.read([write(tmp_path / "r.jsonl", [])])


def test_truncated_gzip(tmp_path):
    path = tmp_path / "r.jsonl.gz"
    rows = "".join(json.dumps(row(f"q{i}", own=str(hash(str(i))))) + "\n" for i in range(2000))
    whole = gzip.compress(rows.encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordingsError, match=r"cut off after row \d+\. Copy it again"):
        Recordings.read([path])


def test_damaged_gzip(tmp_path):
    path = tmp_path / "r.jsonl.gz"
    whole = bytearray(gzip.compress("".join(json.dumps(row(f"q{i}")) + "\n" for i in range(2000)).encode()))
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(whole))
    with pytest.raises(RecordingsError):
        Recordings.read([path])


def test_no_such_file(tmp_path):
    with pytest.raises(RecordingsError, match=r"nowhere\.jsonl: cannot be read \(No such file"):
        Recordings.read([tmp_path / "nowhere.jsonl"])


def test_unknown_model(tmp_path):
    with pytest.raises(RecordingsError, match=r"has no model 'huge'. Name some of its 2 models: small, large"):
        read(tmp_path, four_queries())[0].select(["small", "huge"])


def test_model_named_twice(tmp_path):
    with pytest.raises(RecordingsError, match="named twice"):
        read(tmp_path, four_queries())[0].select(["small", "small"])
