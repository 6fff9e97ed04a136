import json
import sys
from importlib.metadata import EntryPoint

import pytest

from frugal_core import __version__, cli
from frugal_core.cli import main
from recorded import four_queries, row, write


@pytest.fixture
def tiny(tmp_path):
    return str(write(tmp_path / "tiny.jsonl", four_queries()))


def evaluated(capsys, *arguments):
    status = main(["evaluate", "--recordings", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, " ".join(captured.err.split())


def test_report_on_the_terminal(tiny, capsys):
    status, out, _ = evaluated(capsys, tiny)
    assert status == 0
    for seen in (
        "4 train, 4 test queries",
        "signal margin",
        "costs: cost_usd",
        "small",
        "large",
        "best",
        "cheapest",
        "0.8333",
        "0.6250",
    ):
        assert seen in out
    assert "1 of 1 pairs beat random routing." in out


def test_json_has_everything(tiny, tmp_path, capsys):
    file = tmp_path / "report.json"
    assert evaluated(capsys, tiny, "--json", str(file))[0] == 0
    report = json.loads(file.read_text())
    assert report["skipped"] == []
    (dataset,) = report["datasets"]
    assert (dataset["dataset"], dataset["n_train"], dataset["n_test"]) == ("tiny", 4, 4)
    assert (dataset["signal"], dataset["cost_source"], dataset["best_single"]) == ("margin", "cost_usd", "large")
    assert {key: dataset["singles"][0][key] for key in ("model", "accuracy", "cost")} == {
        "model": "small",
        "accuracy": 0.5,
        "cost": 1.0,
    }
    (policy,) = dataset["policies"]
    assert policy["name"] == "cascade: small > large"
    assert policy["models"] == ["small", "large"]
    assert policy["curve"] == [[1.0, 0.5], [2.0, 0.75], [3.0, 1.0]]
    assert policy["auc"] == pytest.approx(2.5 / 3)
    assert policy["auc_random"] == pytest.approx(0.625)
    assert policy["cost_at_best_single"] == 2.0
    assert policy["calls_per_tier"] == [[1.0, 0.0], [1.0, 0.25], [1.0, 0.5]]


def test_chosen_models_make_one_cascade(tmp_path, capsys):
    rows = four_queries()
    rows += [{**r, "model": "middle", "cost_usd": 2.0} for r in rows if r["model"] == "small"]
    path, file = str(write(tmp_path / "r.jsonl", rows)), tmp_path / "report.json"
    assert evaluated(capsys, path, "--json", str(file), "--models", "small", "middle", "large")[0] == 0
    (policy,) = json.loads(file.read_text())["datasets"][0]["policies"]
    assert policy["models"] == ["small", "middle", "large"]


def test_forced_signal(tmp_path, capsys):
    path = str(write(tmp_path / "r.jsonl", [{**r, "own": 0.5} for r in four_queries()]))
    assert "signal own" in evaluated(capsys, path, "--signal", "own")[1]


def test_sizes(tmp_path, capsys):
    path = str(write(tmp_path / "r.jsonl", [{**r, "cost_usd": None} for r in four_queries()]))
    status, out, _ = evaluated(capsys, path, "--sizes", "small=7", "large=70")
    assert status == 0
    assert "in proportion to --sizes" in out
    assert "size in B" in out


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot(tiny, tmp_path, capsys, ending):
    pytest.importorskip("matplotlib")
    file = tmp_path / f"curves.{ending}"
    assert evaluated(capsys, tiny, "--plot", str(file))[0] == 0
    assert file.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


def test_a_dataset_without_cost_stands_beside_one_that_has_it(tiny, tmp_path, capsys):
    poor = str(write(tmp_path / "poor.jsonl", [{**r, "dataset": "poor", "cost_usd": None} for r in four_queries()]))
    file = tmp_path / "report.json"
    status, out, _ = evaluated(capsys, tiny, poor, "--json", str(file))
    assert status == 0
    assert "Not evaluated: poor: poor: no cost" in out
    report = json.loads(file.read_text())
    assert [dataset["dataset"] for dataset in report["datasets"]] == ["tiny"]
    assert report["skipped"][0]["dataset"] == "poor"
    assert "--sizes" in report["skipped"][0]["reason"]


def test_a_broken_file_stands_beside_a_good_one_and_shows_in_the_status(tiny, tmp_path, capsys):
    broken = write(tmp_path / "broken.jsonl", [])
    status, out, _ = evaluated(capsys, tiny, str(broken))
    assert status == 1
    assert "broken.jsonl: is empty" in " ".join(out.split())
    assert "tiny: 4 train" in out


def test_without_signal_single_models_are_compared(tmp_path, capsys):
    path = str(write(tmp_path / "r.jsonl", [{**r, "margin": None} for r in four_queries()]))
    status, out, _ = evaluated(capsys, path)
    assert status == 0
    assert "note: no signal" in out
    assert "Cascades" not in out


# --- what is refused, and how ---


@pytest.mark.parametrize(
    ("rows", "arguments", "seen"),
    [
        ([], [], "is empty (0 rows)"),
        ([row(correct=3)], [], "correct is 3; it must be a number from 0 to 1"),
        ([{**r, "cost_usd": None} for r in four_queries()], [], "no cost"),
        (four_queries(), ["--signal", "p_top1"], "no row has a value in the signal column 'p_top1'"),
        (four_queries(), ["--models", "small", "huge"], "has no model 'huge'"),
        (four_queries(), ["--models", "small"], "comparing takes at least 2"),
        (four_queries(), ["--models", "large", "small"], "Name the cheapest model first"),
        (four_queries(), ["--sizes", "small"], "give MODEL=B with a number above 0"),
        (four_queries(), ["--sizes", "small=-1"], "give MODEL=B with a number above 0"),
        (four_queries(), ["--sizes", "huge=7"], "--sizes names 'huge', which no file has. Models there are: large, small"),
        (four_queries(), ["--json", "no/such/folder/report.json"], "there is no folder 'no/such/folder'"),
        ([{**r, "split": "test"} for r in four_queries()], [], "0 train and 8 test"),
    ],
)
def test_one_line_of_error_and_status_2(tmp_path, capsys, rows, arguments, seen):
    status, out, err = evaluated(capsys, str(write(tmp_path / "r.jsonl", rows)), *arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("Error: ")
    assert seen in err
    assert "Traceback" not in err


def test_all_reasons_are_told_when_nothing_works(tmp_path, capsys):
    empty, bad = write(tmp_path / "empty.jsonl", []), write(tmp_path / "bad.jsonl", [row(correct=3)])
    status, _, err = evaluated(capsys, str(empty), str(bad))
    assert status == 2
    assert "empty.jsonl: is empty" in err
    assert "correct is 3" in err


def test_missing_matplotlib_names_the_extra(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, _, err = evaluated(capsys, tiny, "--plot", str(tmp_path / "x.png"))
    assert status == 2
    assert "pip install 'langchain-frugal[plots]'" in err


def test_unknown_plot_format(tiny, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    status, _, err = evaluated(capsys, tiny, "--plot", str(tmp_path / "x.docx"))
    assert status == 2
    assert "Name a .png, .svg or .pdf file" in err


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["evaluate"], ["evaluate", "--recordings", "x", "--nonsense"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: frugal" in capsys.readouterr().err


# --- the command itself ---


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == f"frugal {__version__}"


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    assert "frugal evaluate --recordings" in capsys.readouterr().out


def plugged(monkeypatch, value):
    monkeypatch.setattr(cli, "entry_points", lambda group: [EntryPoint("demo", value, group)])


def test_a_plugin_whose_package_is_missing_says_so(monkeypatch, capsys):
    plugged(monkeypatch, "no_such_package.demo")
    assert main(["demo", "--live", "x"]) == 2
    assert "No module named 'no_such_package'" in " ".join(capsys.readouterr().err.split())


def test_evaluate_does_not_load_plugins(monkeypatch, tiny, capsys):
    plugged(monkeypatch, "no_such_package.demo")
    assert evaluated(capsys, tiny)[0] == 0


@pytest.fixture
def demo(monkeypatch):
    pytest.importorskip("langchain_core")
    plugged(monkeypatch, "langchain_frugal.demo")
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def test_demo(demo, tmp_path, capsys):
    picture = tmp_path / "demo.png"
    assert main(["demo", "--questions", "6", "--plot", str(picture)]) == 0
    out = capsys.readouterr().out
    for seen in ("6 unseen questions", "always large", "always small", "random", "cascade", '"steps": [', "streamed"):
        assert seen in out
    assert picture.exists()


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["--questions", "-1"], "--questions -1 is out of range"),
        (["--questions", "0"], "--questions 0 is out of range"),
        (["--plot", "no/such/folder/x.png"], "--plot no/such/folder/x.png: there is no folder"),
        (["--live", "openai:gpt-4o"], "--live takes two models or more"),
        (["--live", "openai:gpt-4o-mini", "openai:gpt-4o"], "--live spends money and nobody is here to agree: add --yes"),
        (["--live", "nonsense", "openai:gpt-4o", "--yes", "--questions", "1"], "'nonsense' names no model"),
    ],
)
def test_demo_refuses(demo, capsys, arguments, seen):
    assert main(["demo", *arguments]) == 2
    assert seen in " ".join(capsys.readouterr().err.split())


@pytest.mark.filterwarnings("ignore:No price is known")
def test_demo_shows_the_cost_before_it_asks(demo, capsys):
    main(["demo", "--live", "openai:gpt-4o-mini", "openai:unheard-of"])
    out = " ".join(capsys.readouterr().out.split())
    assert "openai:gpt-4o-mini: at most 60 calls, about $0.00" in out
    assert "openai:unheard-of: its price is unknown" in out


def test_demo_names_a_missing_key_before_the_cost(demo, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert main(["demo", "--live", "openai:gpt-4o-mini", "openai:gpt-4o", "--yes"]) == 2
    out, err = capsys.readouterr()
    assert "Missing credentials" in err
    assert "calls" not in out
