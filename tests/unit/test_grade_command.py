import json

import pytest

from evaluated import made_up
from frugal_core.cli import main
from frugal_core.errors import FrugalWarning
from recorded import write


def graded(capsys, *arguments):
    """Status, and what was printed."""
    status = main(["grade", *map(str, arguments)])
    printed, err = capsys.readouterr()
    return status, " ".join(printed.split()), " ".join(err.split())


def ungraded(tmp_path, **values):
    return write(tmp_path / "r.jsonl", [{**row, "correct": None, **values} for row in made_up(4)])


def labels(path):
    return [(row["correct"], row["label"]) for row in map(json.loads, path.read_text().splitlines())]


def test_by_right_answers(capsys, tmp_path):
    path = ungraded(tmp_path)
    assert graded(capsys, path, "--labels", "numeric") == (0, f"{path}: 12 rows graded.", "")
    expected = [(float(row["answer"] == row["reference"]), "gold") for row in made_up(4)]
    assert labels(path) == expected
    assert graded(capsys, path, "--labels", "numeric")[1].endswith("0 rows graded.")
    assert graded(capsys, path, "--labels", "exact", "--again")[1].endswith("12 rows graded.")


def test_by_a_reference_model(capsys, tmp_path):
    path = ungraded(tmp_path, reference=None)
    with pytest.warns(FrugalWarning, match="none of 12 answers could be graded.*--reference-model.*large, middle, small"):
        assert graded(capsys, path)[:2] == (0, f"{path}: 0 rows graded.")
    assert graded(capsys, path, "--reference-model", "large")[:2] == (0, f"{path}: 12 rows graded.")
    assert {label for _, label in labels(path)} == {"agreement"}


def test_refused(capsys, tmp_path):
    status, out, err = graded(capsys, ungraded(tmp_path), "--reference-model", "huge")
    assert (status, out) == (2, "")
    assert "no rows of the reference model 'huge'; it has large, middle, small" in err
    assert graded(capsys, tmp_path / "none.jsonl")[0] == 2


@pytest.mark.parametrize("policies", [[], ["--policies", "single"]])
def test_evaluate_names_it(capsys, tmp_path, policies):
    assert main(["evaluate", "--recordings", str(ungraded(tmp_path)), *policies]) == 2
    assert "none of its 12 answers is graded. Grade the file with frugal grade" in " ".join(capsys.readouterr().err.split())
