import numpy as np
import pytest

from evaluated import made_up
from frugal_core.cli import main
from frugal_core.policies import Policy, Single
from frugal_core.policies.fitted import Fitted
from recorded import write


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return str(write(tmp_path_factory.mktemp("fit") / "r.jsonl", made_up(100)))


def fitted(capsys, tmp_path, *arguments):
    """Status, what was printed, and the saved policy if there is one."""
    out = tmp_path / "policy.frugal"
    status = main(["fit", "--out", str(out), *map(str, arguments)])
    printed, err = capsys.readouterr()
    return status, " ".join(printed.split()), " ".join(err.split()), Policy.load(out) if out.exists() else None


@pytest.mark.parametrize(
    ("objective", "seen"),
    [
        (["--best"], "For the best quality"),
        (["--budget-usd", "0.004"], "For the best quality for at most 0.004 per query"),
        (["--quality", "0.5"], "For the least cost at a quality of 0.5"),
    ],
)
def test_an_objective(recordings, capsys, tmp_path, objective, seen):
    status, out, err, policy = fitted(capsys, tmp_path, "--recordings", recordings, *objective)
    assert (status, err) == (0, "")
    assert seen in out
    assert isinstance(policy, Fitted)
    assert policy.reason in out
    assert all(candidate.family in out for candidate in policy.candidates)
    assert "Best single model: large" in out
    assert "Saved as" in out


def test_a_budget_is_heeded(recordings, capsys, tmp_path):
    cheap, dear = (
        fitted(capsys, tmp_path, "--recordings", recordings, "--budget-usd", usd)[3].policy for usd in ("0.001", "0.02")
    )
    assert cheap != dear


def test_a_guarantee(recordings, capsys, tmp_path):
    status, out, _, policy = fitted(
        capsys, tmp_path, "--recordings", recordings, "--max-disagreement", "0.2", "--confidence", "0.9"
    )
    assert policy.guarantee.max_disagreement == 0.2
    assert policy.guarantee.confidence == 0.9
    assert status == (0 if policy.guarantee.certified else 1)
    assert str(policy.guarantee) in out


def test_an_objective_that_none_keeps(recordings, capsys, tmp_path):
    status, out, _, policy = fitted(capsys, tmp_path, "--recordings", recordings, "--budget-usd", "0.00001")
    assert status == 1
    assert "Not kept: no policy keeps what was asked for, the best quality for at most 1e-05" in out
    assert policy.policy == Single("small")


def test_only_the_reference_can_be_certified(capsys, tmp_path):
    """The small model is right wherever it is learned from, and wrong on the queries that `fit` keeps for calibration."""
    kept = set(np.random.default_rng(0).permutation(60)[:24].tolist())
    rows = made_up(60, ("small", "large"))
    for row in rows:
        row["correct"] = int(row["model"] == "large" or int(row["query_id"][1:]) not in kept)
    path = write(tmp_path / "r.jsonl", rows)
    arguments = ("--recordings", path, "--max-disagreement", "0.2", "--reference", "large")
    status, out, _, policy = fitted(capsys, tmp_path, *arguments)
    assert status == 1
    assert not policy.guarantee.certified
    assert policy.policy == Single("large")
    assert "the reference is served" in out


def test_one_side_of_the_split(recordings, capsys, tmp_path):
    shares = []
    for split in ("train", "all"):
        arguments = ("--recordings", recordings, "--max-disagreement", "0.3", "--split", split)
        shares.append(fitted(capsys, tmp_path, *arguments)[3].guarantee.rows)
    assert shares == [20, 40]  # two fifths of 50 and of 100


def test_chosen_models_and_signal(capsys, tmp_path):
    path = write(tmp_path / "r.jsonl", [{**row, "dataset": name} for row in made_up(40) for name in ("one", "other")])
    status, out, _, policy = fitted(
        capsys,
        tmp_path,
        "--recordings",
        path,
        "--best",
        "--dataset",
        "one",
        "--models",
        "small",
        "middle",
        "--signal",
        "logprobs",
    )
    assert status == 0
    assert "Best single model: middle" in out
    assert "large" not in str(policy)


@pytest.mark.parametrize(
    ("rows", "arguments", "seen"),
    [
        (made_up(100), ["--max-disagreement", "0.01"], "which cannot prove a disagreement of at most 0.01"),
        (made_up(100), ["--budget-usd", "-1"], "budget_usd=-1.0 is out of range"),
        (made_up(100), ["--best", "--reference", "huge"], "reference='huge' is not among the recorded models"),
        (made_up(100), ["--best", "--sizes", "huge=7"], "--sizes names 'huge'"),
        (made_up(100), ["--best", "--dataset", "no"], "has no dataset 'no'; it has made up"),
        ([{**row, "dataset": str(row["split"])} for row in made_up(40)], ["--best"], "has 2 datasets (test, train); name one"),
        ([{**row, "split": "test"} for row in made_up(40)], ["--best", "--split", "train"], "no query in the train split"),
        (made_up(5), ["--best"], "5 queries are too few to learn from"),
        ([], ["--best"], "is empty"),
    ],
)
def test_refused(capsys, tmp_path, rows, arguments, seen):
    status, out, err, policy = fitted(capsys, tmp_path, "--recordings", write(tmp_path / "r.jsonl", rows), *arguments)
    assert (status, out, policy) == (2, "", None)
    assert seen in err


def test_no_folder_to_save_in(recordings, capsys):
    assert main(["fit", "--recordings", recordings, "--out", "no/such/p.frugal", "--best"]) == 2
    assert "there is no folder" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("objective", [[], ["--best", "--quality", "0.5"]])
def test_exactly_one_objective(recordings, capsys, objective):
    with pytest.raises(SystemExit) as caught:
        main(["fit", "--recordings", recordings, "--out", "p.frugal", *objective])
    assert caught.value.code == 2
    assert "--max-disagreement" in capsys.readouterr().err
