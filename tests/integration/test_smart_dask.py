"""Batch jobs whose calls are made by Dask's workers: threads of this process, and other processes."""

from __future__ import annotations

import asyncio
import threading
import warnings

import pytest

import llamaindex_frugal
from frugal_core.errors import FrugalError
from langchain_frugal import SmartJob
from langchain_frugal.playground import ChatPlayground
from lc import Fake
from llamaindex_frugal.playground import PlaygroundLLM
from smart_asker import Crash, Scripted, differing, fails_for_some, play, texts

distributed = pytest.importorskip("distributed", reason="Dask's distributed is not installed")

PRICES = {"playground-small": (0.1, 0.1), "playground-large": (2, 2)}
QUESTIONS = [f"Which is larger, {a} or {b}?" for a in range(20, 24) for b in range(50, 60)]


@pytest.fixture(scope="module", params=[False, True], ids=["threads", "processes"])
def cluster(request, tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a slow disk, or a port that another cluster has: neither is ours
        local = distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=4,
            processes=request.param,
            dashboard_address=":0",
            local_directory=str(tmp_path_factory.mktemp("dask")),
        )
    with local, distributed.Client(local, set_as_default=False) as client:
        yield client


@pytest.fixture
def path(tmp_path):
    return tmp_path / "job.jsonl"


async def test_a_job_on_dask_is_the_job_on_threads(cluster, path, tmp_path):
    counter = tmp_path / "calls.txt"
    wrong = {"small": set(range(0, 200, 20))}
    asker = Scripted(wrong=wrong, counter=str(counter))
    done = await play("sync", asker, texts(200), path, 0.2, executor=cluster.get_executor())
    here = await play("sync", Scripted(wrong=wrong), texts(200), tmp_path / "here.jsonl", 0.2)
    assert (done.outputs, done.plan, done.cost_usd) == (here.outputs, here.plan, here.cost_usd)
    assert 0 < differing(done, asker) <= done.plan.allowed
    calls = counter.read_text().splitlines()
    assert len(calls) == len(set(calls)) == done.calls == 200 + done.plan.profiled


async def test_begun_on_dask_and_ended_here(cluster, path, tmp_path):
    counter = tmp_path / "calls.txt"
    seen = []

    def judge(query, answer, reference):
        seen.append(query)
        if len(seen) == 12:
            raise Crash
        return answer == reference

    with pytest.raises(Crash):
        await play("sync", Scripted(counter=str(counter)), texts(100), path, compare=judge, executor=cluster.get_executor())
    begun = len(counter.read_text().splitlines())
    done = await play("async", Scripted(counter=str(counter)), texts(100), path, compare=judge)
    calls = counter.read_text().splitlines()
    assert 24 <= begun < len(calls) == len(set(calls)) == 100 + done.plan.profiled


async def test_failures_travel_as_words(cluster, path):
    asker = Scripted({"small": 0.01, "huge": 0.02, "large": 0.1}, say=fails_for_some)
    done = await play("sync", asker, texts(60), path, 0.2, executor=cluster.get_executor())
    assert done.texts == [f"item {number}." for number in range(60)]


def langchain():
    return SmartJob, ChatPlayground(model="playground-small"), ChatPlayground(model="playground-large")


def llamaindex():
    return llamaindex_frugal.SmartJob, PlaygroundLLM("playground-small"), PlaygroundLLM("playground-large")


@pytest.mark.parametrize("framework", [langchain, llamaindex])
async def test_models_of_a_framework(cluster, framework, path):
    job, small, large = framework()
    job = job([small], large, QUESTIONS, 0.2, path=path, prices=PRICES, progress=False)
    done = await asyncio.to_thread(job.run, cluster.get_executor())
    assert done.plan.certified == ("playground-small",)
    assert all(text.startswith("5") for text in done.texts)
    assert done.calls == 40 + done.plan.profiled


async def test_a_model_with_an_open_connection(cluster, path):
    lock = threading.RLock()  # as clients of providers hold
    small, large = (Fake(model=name, reply=lambda messages: str(lock and 50)) for name in ("small", "large"))
    given = {"path": path, "prices": {"small": (1, 1), "large": (9, 9)}, "progress": False}
    job = SmartJob([small], large, QUESTIONS, 0.2, **given)
    with pytest.raises(FrugalError, match=r'could not run a call.*cannot be sent to another process.*"provider:model"'):
        job.run(cluster.get_executor())
    assert job.run().texts == ["50"] * 40
