"""What tells models of one class from each other in the keys of a cache, and whose the answers are."""

import pickle

import pytest
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata

import caching
import llamaindex_frugal
from li import HOWS, accepting, ask, decision
from llamaindex_frugal import FrugalLLM
from llamaindex_frugal._identity import LLMIdentity, llm_settings
from llamaindex_frugal.playground import PlaygroundLLM

ASKED = "who are you"


class Own(CustomLLM):
    """As people write them: everything private."""

    _model: str = PrivateAttr()
    _system: str = PrivateAttr("")
    _seed: int = PrivateAttr(0)
    _calls: int = PrivateAttr(0)
    _token: str = PrivateAttr("sk-secret")
    _window: int = PrivateAttr(1000)

    def __init__(self, model="tiny", **private):
        super().__init__()
        self._model = model
        for name, value in private.items():
            setattr(self, f"_{name}", value)

    @property
    def metadata(self):
        if self._model == "unknown":
            raise ValueError("no window is known")
        return LLMMetadata(model_name="ours", context_window=self._window)

    def complete(self, prompt, formatted=False, **kwargs):
        self._calls += 1
        return CompletionResponse(text=f"I am {self._model}")

    def stream_complete(self, prompt, formatted=False, **kwargs):
        raise NotImplementedError


def wrapped(model, cache):
    return FrugalLLM(models=[model], cache=cache, prices={"ours": (0, 0)})


def test_models_with_other_private_settings_share_no_answers():
    shared = caching.cache()
    tiny, huge = wrapped(Own("tiny"), shared), wrapped(Own("huge"), shared)
    for _ in range(2):
        assert [llm.complete(ASKED).text for llm in (tiny, huge)] == ["I am tiny", "I am huge"]
    assert shared.stats().exact_hits == 2


@pytest.mark.parametrize("change", [{"model": "huge"}, {"system": "pirate"}, {"seed": 1}, {"window": 2000}])
def test_each_setting_makes_a_difference(change):
    assert LLMIdentity(Own())() == LLMIdentity(Own())() != LLMIdentity(Own(**change))()


def test_counters_and_secrets_make_none():
    model = Own()
    identity = LLMIdentity(model)
    before = identity()
    model.complete(ASKED)
    assert identity() == before == LLMIdentity(Own(token="sk-other"))()
    assert "sk-secret" not in str(llm_settings(model))
    model._system = "pirate"
    assert identity() != before


def test_metadata_counts_where_it_can_be_told():
    model = Own()
    identity = LLMIdentity(model)
    before = identity()
    model._window = 2000
    assert identity() != before
    assert LLMIdentity(Own("unknown"))() == LLMIdentity(Own("unknown"))()


@pytest.mark.parametrize("how", HOWS)
async def test_a_namespace_that_cannot_be_told_is_an_error(how):
    def whose():
        raise LookupError("no tenant")

    llm, first, _ = accepting(cache=caching.cache(namespace=whose))
    with pytest.raises(LookupError, match="no tenant"):
        await ask(llm, how, ASKED)
    assert len(first.log) == 0


def test_a_pickled_playground_model_still_gives_log_probabilities():
    llm = FrugalLLM(models=[PlaygroundLLM("playground-small"), PlaygroundLLM("playground-large")])
    again = pickle.loads(pickle.dumps(llm))
    scores = [decision(each.complete("What is 2 plus 5?"))["steps"][0]["score"] for each in (llm, again)]
    assert scores[0] == scores[1] is not None


def test_every_public_name_is_listed():
    assert dir(llamaindex_frugal) == sorted(llamaindex_frugal.__all__)
