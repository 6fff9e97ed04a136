"""Both frameworks audit the same queries and find the same."""

import json

import pytest

import lc
import li
from frugal_core.audit import Audit

QUERIES = [f"question {number}" for number in range(40)]
HOWS = (("invoke", "chat"), ("ainvoke", "achat"), ("stream", "stream_chat"), ("astream", "astream_chat"))


async def found(support, how, path, text_of):
    """What an audit finds: its report, and its rows without what differs from run to run."""

    def sometimes_right(messages):
        number = int(text_of(messages[-1]).split()[-1])
        return "right" if number % 4 else "wrong"

    audit = Audit(0.9, 0.4, seed=11, path=path)
    llm = support.frugal(support.small(sometimes_right), support.large("Right."), audit=audit)
    for text in QUERIES:
        await support.ask(llm, how, text)
        assert await audit.adrain(20)
    audit.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return audit.report(), [{name: value for name, value in row.items() if name != "latency_s"} for row in rows]


@pytest.mark.parametrize(("chain", "index"), HOWS)
async def test_the_same_seed_audits_the_same_and_finds_the_same(chain, index, tmp_path):
    (tmp_path / "lc").mkdir()
    (tmp_path / "li").mkdir()
    report, rows = await found(lc, chain, tmp_path / "lc" / "audit.jsonl", lambda message: message.text)
    other, others = await found(li, index, tmp_path / "li" / "audit.jsonl", lambda message: message.content)
    assert 5 < report.audited < 30
    assert 0 < report.losses < report.audited
    assert report == other
    assert rows == others
