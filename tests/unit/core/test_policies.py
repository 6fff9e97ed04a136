"""The plain policies, and what all policies share: name, version, identity."""

from __future__ import annotations

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core_builders import Script, ask, make_query, make_tiers, recorded, says
from frugal_core.engine import Flow, drive
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Cascade, Policy, RandomRouter, Single
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.scorers import Margin, SchemaValid
from frugal_core.types import Query

# Single


@pytest.mark.parametrize(("tier", "asked"), [(0, 0), (1, 1), (2, 2), (-1, 2), (-3, 0)])
def test_single_asks_one_tier_and_serves_whatever_it_says(tier: int, asked: int) -> None:
    decision, script = ask(Single(tier), says("a"), says("b"), says("c", finish_reason="length"))
    assert script.asked == [asked]
    assert script.calls[0].final
    assert (decision.tier, decision.steps[0].reason) == (f"tier{asked}", "routed")


@pytest.mark.parametrize("tier", [2, -3, 99])
def test_single_refuses_a_tier_that_is_not_there(tier: int) -> None:
    words = rf"There is no tier {tier}: there are 2 models, 0 to 1\."
    with pytest.raises(ConfigurationError, match=words):
        Single(tier).check(make_tiers(2))
    with pytest.raises(ConfigurationError, match=words):
        ask(Single(tier), says(), says())


def test_single_finds_a_tier_by_name() -> None:
    assert ask(Single("tier1"), says(), says(), says())[1].asked == [1]
    with pytest.raises(ConfigurationError, match="'small', but the models here are tier0, tier1"):
        Single("small").check(make_tiers(2))


@pytest.mark.parametrize("tier", [1.0, None, True])
def test_single_takes_an_index_or_a_name(tier: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"tier=.* is not the index of a model, nor its name: give an integer"):
        Single(tier)


def test_single_lets_failures_rise() -> None:
    with pytest.raises(TimeoutError):
        ask(Single(0), TimeoutError("slow"), says())


def test_single_is_the_dearest_model_unless_told_and_needs_no_logprobs() -> None:
    assert ask(Single(), says(), says(), says())[1].asked == [2]
    assert not Single().needs_logprobs


# RandomRouter


def test_the_random_router_sends_the_asked_share() -> None:
    router = RandomRouter(0.25)
    decisions = [ask(router, says(), says(), says())[0] for _ in range(2000)]
    tiers = [decision.tier for decision in decisions]
    assert tiers.count("tier2") / 2000 == pytest.approx(0.25, abs=0.04)
    assert tiers.count("tier1") == 0


@pytest.mark.parametrize(("call_large", "tier"), [(0, "tier0"), (1, "tier1")])
def test_the_ends_of_the_range_are_exact(call_large: float, tier: str) -> None:
    router = RandomRouter(call_large)
    assert {ask(router, says(), says())[0].tier for _ in range(200)} == {tier}


def test_a_seed_repeats_the_choices() -> None:
    def choices(seed: int) -> list[str | None]:
        router = RandomRouter(0.5, seed=seed)
        return [ask(router, says(), says())[0].tier for _ in range(50)]

    assert choices(3) == choices(3)
    assert choices(3) != choices(4)


@pytest.mark.parametrize("call_large", [-0.1, 1.1, float("nan"), "0.3", None, True])
def test_a_share_out_of_range_is_refused(call_large: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"call_large=.* is out of range: it is a share of the queries, from 0 to 1"):
        RandomRouter(call_large)


# What all share


def test_the_name_is_the_kind_or_the_class() -> None:
    class Mine(Policy):
        def decide(self, query: Query) -> Flow:
            return Single(0).decide(query)

    assert [policy.name for policy in (Cascade(), Single(), RandomRouter(0.1), Mine())] == [
        "cascade",
        "single",
        "random_router",
        "Mine",
    ]
    assert ask(Mine(), says())[0].policy == "single"


def test_equal_policies_have_equal_versions_in_every_process() -> None:
    policy = Cascade(Margin(classes=["yes", "no"]) & SchemaValid(), [0.5])
    program = (
        "import sys; sys.path[:] = " + repr(sys.path) + "\n"
        "from frugal_core.policies import Cascade\nfrom frugal_core.scorers import Margin, SchemaValid\n"
        "print(Cascade(Margin(classes=['yes', 'no']) & SchemaValid(), [0.5]).version)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == policy.version


def test_whatever_may_change_a_decision_changes_the_version() -> None:
    policies = [
        Cascade(),
        Cascade(threshold=0.3),
        Cascade(threshold=0.31),
        Cascade(threshold=[0.3, 0.3]),
        Cascade(threshold=BudgetedThreshold(0.31)),
        Cascade(threshold=BudgetedThreshold(0.3, queries=10)),
        Cascade(threshold=BudgetedThreshold(usd=0.3)),
        Cascade(on_missing="accept"),
        Cascade(Margin(tokens=2)),
        Cascade(Margin(classes=["a", "b"])),
        Cascade(Margin() & SchemaValid()),
        Cascade(Margin() | SchemaValid()),
        Cascade(SchemaValid() & Margin()),
        Single(0),
        Single(1),
        RandomRouter(0.3),
        RandomRouter(0.3, seed=1),
    ]
    assert len({policy.version for policy in policies}) == len(policies)


def test_learning_does_not_change_the_version_nor_the_identity() -> None:
    policy = Cascade(recorded, BudgetedThreshold(0.3))
    before = policy.version, policy.identity
    for score in (0.1, 0.9, 0.5):
        ask(policy, says(score=score), says())
    assert (policy.version, policy.identity) == before


def test_a_policy_that_holds_code_is_like_no_other() -> None:
    def scorer(query: Query, answer: Any) -> float:
        return 1.0

    one, other = Cascade(scorer, 0.5), Cascade(scorer, 0.5)
    assert one.identity == one.identity
    assert one.identity != other.identity
    assert one.version != other.version
    assert ask(one, says(), says())[0].version == one.version


def test_no_identity_returns_after_its_policy_is_gone() -> None:
    """An identity made of a memory address would: the next object is put where the last one was."""
    seen = set()
    for _ in range(200):
        policy = Cascade(lambda query, answer: 1.0, 0.5)
        assert policy.identity not in seen
        seen.add(policy.identity)
        del policy
        gc.collect(0)


@pytest.mark.parametrize("make", [lambda: Cascade(recorded, 0.5), lambda: Cascade(threshold=0.5), lambda: Single(0)])
def test_threads_see_one_version(make: Any) -> None:
    for _ in range(20):
        policy = make()
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(lambda _, p=policy: p.version, range(16)))) == 1


def test_one_policy_serves_many_threads_without_mixing_queries() -> None:
    policy = Cascade(recorded, 0.5)

    def work(number: int) -> list[str]:
        script = Script([says(f"small {number}", 0.1), says(f"large {number}")])
        return [drive(policy.decide(make_query(2)), script.perform).answer.text for _ in range(100)]

    with ThreadPoolExecutor(8) as pool:
        for number, texts in enumerate(pool.map(work, range(8))):
            assert texts == [f"large {number}"] * 100


def test_a_policy_must_decide() -> None:
    with pytest.raises(TypeError, match="decide"):
        Policy()  # type: ignore[abstract]
