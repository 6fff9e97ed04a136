"""Policies on disk: plain JSON, the same object when read back, and clear words about anything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core_builders import ask, says
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Cascade, Policy, RandomRouter, Single
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.policies.thresholds import FixedThreshold
from frugal_core.saving import decode, encode, load, save
from frugal_core.scorers import LogprobQuantile, Margin, MeanLogprob, MinLogprob, SchemaValid

POLICIES: list[Policy] = [
    Cascade(),
    Cascade(Margin(classes=["yes", "no"], tokens=2, ignore_overlaps=False), [0.25, 0.75], on_missing="accept"),
    Cascade((Margin(classes=("a", "b")) & SchemaValid()) | LogprobQuantile(0.2).or_else(MinLogprob()), 0.5),
    Cascade(MeanLogprob(), BudgetedThreshold(usd=0.01, queries=500, warm_up=3)),
    Single(0),
    Single(),
    RandomRouter(0.25, seed=7),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.identity[:60])
def test_a_policy_comes_back_as_it_was(policy: Policy, tmp_path: Path) -> None:
    path = tmp_path / "policy.frugal"
    policy.save(path)
    loaded = type(policy).load(path)
    assert loaded.identity == policy.identity
    assert loaded.version == policy.version
    if isinstance(policy, Cascade):
        assert loaded.scorer == policy.scorer
        if isinstance(policy.threshold, FixedThreshold):
            assert loaded.threshold == policy.threshold
    else:
        assert vars(loaded).keys() == vars(policy).keys()


def test_a_loaded_cascade_decides_alike(tmp_path: Path) -> None:
    policy = Cascade(Margin() | SchemaValid(), [0.5, 0.5])
    policy.save(tmp_path / "p")
    outcomes = says("a"), says("b"), says("c")
    assert ask(Cascade.load(tmp_path / "p"), *outcomes)[0] == ask(policy, *outcomes)[0]


def test_tuples_of_nested_scorers_come_back_equal_and_hashable() -> None:
    scorer = Margin(classes=["a", "b"]) & (Margin(tokens=2) | SchemaValid())
    assert decode(json.loads(json.dumps(encode(scorer)))) == scorer
    assert hash(decode(encode(scorer))) == hash(scorer)


def test_a_file_is_plain_json_a_person_can_read(tmp_path: Path) -> None:
    Cascade(Margin() & SchemaValid(), 0.5).save(tmp_path / "p")
    data = json.loads((tmp_path / "p").read_text(encoding="utf-8"))
    assert data["frugal"] == 1
    assert data["object"]["kind"] == "cascade"
    assert data["object"]["scorer"]["second"] == {"kind": "schema_valid"}
    assert data["object"]["threshold"] == {"kind": "fixed_threshold", "value": 0.5}


def test_saving_replaces_a_file_as_a_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "p"
    Cascade(threshold=0.5).save(path)
    with pytest.raises(ConfigurationError):
        Cascade(lambda query, answer: 1.0).save(path)
    assert Cascade.load(path).threshold == FixedThreshold(0.5)
    Single(1).save(path)
    assert Single.load(path) == Single(1)
    assert [file.name for file in tmp_path.iterdir()] == ["p"]


def test_a_path_may_be_text(tmp_path: Path) -> None:
    Single(1).save(str(tmp_path / "p"))
    assert Policy.load(str(tmp_path / "p")) == Single(1)


@pytest.mark.parametrize(
    "policy",
    [
        Cascade(lambda query, answer: 1.0),
        Cascade(Margin() & (lambda query, answer: 1.0)),
        Cascade(escalate_on=lambda error: True),
        Cascade(escalate_on=[TimeoutError]),
    ],
)
def test_code_cannot_be_saved_and_the_error_says_what_to_do(policy: Cascade, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be saved: a policy file holds data, not code\. Give the policy"):
        policy.save(tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_no_folder_to_save_in(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"x.frugal' cannot be written: there is no folder '.*none'\. Make it"):
        Cascade(Margin()).save(tmp_path / "none" / "x.frugal")


def test_a_subclass_is_not_saved_as_what_it_is_not(tmp_path: Path) -> None:
    class Mine(Margin):
        pass

    with pytest.raises(ConfigurationError, match="cannot be saved"):
        Cascade(Mine()).save(tmp_path / "p")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No saved policy at"),
        (b"", "is not a saved policy"),
        (b"garbage", "is not a saved policy"),
        (b"\x80\x04\x95\xff", "is not a saved policy"),
        (b'{"dataset": "d", "query_id": "1", "model": "m"}\n' * 2, "looks like a file of recordings. Learn a policy from it"),
        (b'{"dataset": "d", "query_id": "1", "model": "m"}', "looks like a file of recordings"),
        (b"[1, 2]", "it has no 'frugal' and 'object' entries"),
        (b"{}", "it has no 'frugal' and 'object' entries"),
        (b'{"frugal": 1}', "it has no 'frugal' and 'object' entries"),
        (b'{"frugal": 2, "object": {}}', "has format 2, this version reads 1. Upgrade langchain-frugal"),
        (b'{"frugal": "1", "object": {}}', "has format '1', this version reads 1"),
        (b'{"frugal": 1, "object": {"kind": "oracle"}}', "Unknown kind 'oracle' in a saved policy; this version knows"),
        (b'{"frugal": 1, "object": {"kind": ["oracle"]}}', "Unknown kind ['oracle']"),
        (b'{"frugal": 1, "object": {"kind": null}}', "Unknown kind None"),
        (
            b'{"frugal": 1, "object": {"kind": "single", "tier": 0, "mood": "good"}}',
            "A saved 'single' does not fit this version",
        ),
        (b'{"frugal": 1, "object": {"kind": "single", "tier": 1.5}}', "tier=1.5 is not the index of a model"),
        (b'{"frugal": 1, "object": {"kind": "budgeted_threshold", "rate": 1}}', "A saved 'budgeted_threshold' does not fit"),
        (b'{"frugal": 1, "object": {"kind": "random_router"}}', "A saved 'random_router' does not fit this version"),
        (b'{"frugal": 1, "object": {"kind": "cascade", "threshold": 7}}', "threshold=7 is out of range"),
        (b'{"frugal": 1, "object": {"kind": "cascade", "scorer": {"a": 1}}}', "must be a scorer or a function"),
        (b'{"frugal": 1, "object": {"kind": "cascade", "threshold": {"a": 1}}}', "must be a number from 0 to 1, a list"),
        (b'{"frugal": 1, "object": {"kind": "both", "first": 1, "second": 2}}', "must be a scorer or a function"),
        (b'{"frugal": 1, "object": {"kind": "margin"}}', "holds a Margin, not a Policy"),
        (b'{"frugal": 1, "object": [1, 2]}', "holds a list, not a Policy"),
        (b'{"frugal": 1, "object": null}', "holds a NoneType, not a Policy"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_reason(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "policy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Policy.load(path)
    assert words in str(caught.value)


def test_a_policy_of_another_class_is_refused(tmp_path: Path) -> None:
    Single(0).save(tmp_path / "p")
    with pytest.raises(ConfigurationError, match=r"p' holds a Single, not a Cascade"):
        Cascade.load(tmp_path / "p")


@pytest.mark.parametrize("module", ["frugal_core.policies.base", "frugal_core.policies"])
def test_a_fresh_process_knows_every_kind(module: str, tmp_path: Path) -> None:
    POLICIES[2].save(tmp_path / "p")
    program = f"from {module} import Policy; print(Policy.load({str(tmp_path / 'p')!r}).version)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == POLICIES[2].version


@pytest.mark.parametrize("value", [None, True, 1, 0.5, "text", [1, [2]], {"a": {"b": [None]}}])
def test_plain_data_passes_through(value: Any, tmp_path: Path) -> None:
    save(value, tmp_path / "v")
    assert load(tmp_path / "v") == value


def test_plain_data_that_looks_like_an_object_is_not_written_as_one() -> None:
    with pytest.raises(ConfigurationError, match="cannot be saved"):
        encode({"kind": "single"})
