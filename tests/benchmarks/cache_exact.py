"""An exact hit beside LangChain's `InMemoryCache`: the bare lookup, and a whole call: `python tests/benchmarks/cache_exact.py`.

`InMemoryCache` keeps messages as they are and hands out the very object; Frugal's stores keep them as text, so that other
processes can read them, and hand out a new message each time. Processor time of this thread.
"""

import sys
from functools import partial
from pathlib import Path
from time import thread_time

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from langchain_core.caches import InMemoryCache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from side_by_side import measure, show

from langchain_frugal import FrugalCache, SemanticCache
from lc import accepting, small

QUESTION = "What is the capital of France?"
PROMPT = dumps([HumanMessage(QUESTION)])
USAGE = {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}
GENERATIONS = [ChatGeneration(message=AIMessage("Paris", usage_metadata=USAGE))]
TIMES = 300


def seconds(call):
    """Of this thread's processor time, for one call."""
    since = thread_time()
    for _ in range(TIMES):
        call()
    return (thread_time() - since) / TIMES


def semantic():
    return SemanticCache("memory://", embed=None, decider=0.95)


def lookups():
    """The caches alone."""
    caches = {"InMemoryCache": InMemoryCache(), "FrugalCache": FrugalCache(semantic())}
    for cache in caches.values():
        cache.update(PROMPT, "model", GENERATIONS)
    return {name: partial(cache.lookup, PROMPT, "model") for name, cache in caches.items()}


def models():
    """A model that answers at once, behind each."""
    caches = {"InMemoryCache": InMemoryCache(), "FrugalCache": FrugalCache(semantic())}
    return {name: partial(small("Paris", cache=cache).invoke, QUESTION) for name, cache in caches.items()}


def wrappers():
    """`ChatFrugal` with each."""
    caches = {"InMemoryCache": InMemoryCache(), "SemanticCache": semantic()}
    return {name: partial(accepting(cache=cache)[0].invoke, QUESTION) for name, cache in caches.items()}


def main() -> None:
    for name, calls in {"lookup": lookups(), "model.invoke": models(), "ChatFrugal.invoke": wrappers()}.items():
        show(measure(calls, {name: seconds}, lambda way: 15), "InMemoryCache")
        print()


if __name__ == "__main__":
    main()
