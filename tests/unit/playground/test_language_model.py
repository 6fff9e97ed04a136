"""The playground models as they are shipped: exact mechanics, and accuracies measured on unseen questions."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import numpy as np
import pytest

from frugal_core.playground.language_model import MODEL_NAMES, PRICES_USD_PER_1M, LanguageModel
from frugal_core.playground.measure import Outcome, accuracy, answer_all, margin_auroc
from frugal_core.playground.questions import generate

QUESTION = "Sort 68, 30, 8 in descending order."
WEIGHTS = resources.files("frugal_core.playground") / "weights"


@pytest.fixture(scope="module", params=MODEL_NAMES)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return LanguageModel.load(request.param)


@pytest.fixture(scope="module")
def large() -> LanguageModel:
    return LanguageModel.load("playground-large")


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[Outcome]]:
    questions = generate(400, seed=77)
    return {name: answer_all(LanguageModel.load(name), questions) for name in MODEL_NAMES}


def text_of(model: LanguageModel, prompt: list[int], **options: object) -> str:
    return "".join(token.text for token in model.generate(prompt, **options))  # type: ignore[arg-type]


def test_accuracy_rises_with_size(outcomes: dict[str, list[Outcome]]) -> None:
    small, medium, large = (accuracy(outcomes[name]) for name in MODEL_NAMES)
    assert 0.45 <= small <= 0.68
    assert 0.70 <= medium <= 0.90
    assert large >= 0.96


def test_small_models_margin_tells_right_from_wrong(outcomes: dict[str, list[Outcome]]) -> None:
    auroc = margin_auroc(outcomes["playground-small"])
    assert auroc is not None
    assert auroc >= 0.8


def test_card_states_what_is_shipped() -> None:
    card = json.loads((WEIGHTS / "card.json").read_text())
    assert list(card) == list(MODEL_NAMES)
    for name, entry in card.items():
        assert entry["parameters"] == LanguageModel.load(name).parameters
        assert entry["bytes"] == len((WEIGHTS / f"{name}.npz").read_bytes())


def test_card_agrees_with_measurement(outcomes: dict[str, list[Outcome]]) -> None:
    card = json.loads((WEIGHTS / "card.json").read_text())
    for name, found in outcomes.items():
        stated = card[name]["accuracy"]
        deviation = math.sqrt(max(stated * (1 - stated), 0.01) / len(found))
        assert abs(accuracy(found) - stated) <= 4 * deviation


def test_weights_fit_in_4_megabytes() -> None:
    assert sum(len((WEIGHTS / f"{name}.npz").read_bytes()) for name in MODEL_NAMES) <= 4_000_000


def test_prices_are_in_proportion_to_size() -> None:
    for name in MODEL_NAMES:
        price = PRICES_USD_PER_1M[name][1]
        assert price == pytest.approx(LanguageModel.load(name).parameters / 1e6, rel=0.2)


def test_loaded_once_per_process(model: LanguageModel) -> None:
    assert LanguageModel.load(model.name) is model


def test_unknown_name_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"gpt-4o.*playground-small, playground-medium"):
        LanguageModel.load("gpt-4o")


def test_temperature_zero_is_deterministic(model: LanguageModel) -> None:
    prompt = model.prompt(QUESTION)
    assert list(model.generate(prompt)) == list(model.generate(prompt))


def test_cache_gives_the_logits_of_one_full_pass(model: LanguageModel) -> None:
    transformer = model._transformer
    tokens = model.prompt(QUESTION) + model.tokenizer.encode("68, 30, 8")
    full = transformer.forward(tokens, transformer.new_cache(len(tokens)))
    for cut in (1, 5, len(tokens) - 1):
        cache = transformer.new_cache(len(tokens))
        parts = [transformer.forward(tokens[:cut], cache), *(transformer.forward([t], cache) for t in tokens[cut:])]
        np.testing.assert_allclose(np.concatenate(parts), full, atol=1e-3)


def test_score_is_the_sum_of_the_generated_logprobs(model: LanguageModel) -> None:
    prompt = model.prompt(QUESTION)
    tokens = list(model.generate(prompt, max_tokens=5, stop_tokens=()))
    total = sum(token.logprob for token in tokens)
    assert model.score(prompt, [token.id for token in tokens]) == pytest.approx(total, abs=1e-4)
    assert model.score(prompt, []) == 0.0


def test_logprobs_are_normalised_and_sorted(model: LanguageModel) -> None:
    prompt = model.prompt(QUESTION)
    for token in model.generate(prompt, top_logprobs=len(model.tokenizer.vocabulary)):
        logprobs = [logprob for _, logprob in token.top]
        assert math.fsum(map(math.exp, logprobs)) == pytest.approx(1.0, abs=1e-9)
        assert logprobs == sorted(logprobs, reverse=True)
        assert (token.text, token.logprob) == token.top[0]


def test_top_has_the_asked_number_of_alternatives(model: LanguageModel) -> None:
    prompt = model.prompt(QUESTION)
    assert all(len(token.top) == 3 for token in model.generate(prompt, top_logprobs=3))
    assert all(token.top == () for token in model.generate(prompt, top_logprobs=0))


def test_sampled_token_is_among_its_alternatives() -> None:
    model = LanguageModel.load("playground-small")
    for token in model.generate(model.prompt("Hi"), temperature=3.0, seed=1, top_logprobs=2, stop_tokens=()):
        assert 2 <= len(token.top) <= 3
        assert (model.tokenizer.vocabulary[token.id], token.logprob) in token.top


def test_sampling_depends_on_the_seed_alone() -> None:
    model = LanguageModel.load("playground-small")
    prompt = model.prompt("What is 47 plus 38?")
    texts = [text_of(model, prompt, temperature=2.0, seed=seed, max_tokens=12) for seed in range(20)]
    again = [text_of(model, prompt, temperature=2.0, seed=seed, max_tokens=12) for seed in range(20)]
    assert texts == again
    assert len(set(texts)) > 5


def test_sampling_follows_the_probabilities() -> None:
    model = LanguageModel.load("playground-small")
    prompt = model.prompt("What is 47 plus 38?")
    first = next(model.generate(prompt, max_tokens=1, stop_tokens=()))
    text, logprob = first.top[0]
    draws = [next(model.generate(prompt, temperature=1.0, seed=seed, max_tokens=1, stop_tokens=())).text for seed in range(400)]
    share, probability = draws.count(text) / 400, math.exp(logprob)
    assert abs(share - probability) <= 4 * math.sqrt(max(probability * (1 - probability), 0.005) / 400)


def test_only_permitted_tokens_are_generated(model: LanguageModel) -> None:
    tokenizer = model.tokenizer
    digits = [tokenizer.encode(digit)[0] for digit in "0123456789"]
    seen: list[list[int]] = []

    def allowed(generated: list[int]) -> list[int] | None:
        seen.append(generated)
        return digits if len(generated) < 4 else [tokenizer.end]

    tokens = list(model.generate(model.prompt("Who are you?"), allowed=allowed, temperature=1.0, seed=3))
    assert len(tokens) == 4
    assert all(token.id in digits and 5 <= len(token.top) <= 6 for token in tokens)
    assert seen == [[token.id for token in tokens[:count]] for count in range(5)]
    assert all(sum(math.exp(logprob) for _, logprob in token.top) <= 1 + 1e-9 for token in tokens)


def test_constraint_that_permits_nothing_is_refused(model: LanguageModel) -> None:
    with pytest.raises(ValueError, match="permits no token"):
        list(model.generate(model.prompt("Hi"), allowed=lambda _: []))


def test_threads_share_a_model(large: LanguageModel) -> None:
    questions = [question.text for question in generate(24, seed=21)]

    def answer(text: str) -> str:
        return text_of(large, large.prompt(text))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, questions)) == [answer(text) for text in questions]


def test_tokens_stream_one_by_one(model: LanguageModel) -> None:
    stream = model.generate(model.prompt(QUESTION), stop_tokens=(), max_tokens=3)
    assert [len(next(stream).top) for _ in range(3)] == [5, 5, 5]
    with pytest.raises(StopIteration) as stop:
        next(stream)
    assert stop.value.value == "length"


def test_stop_token_ends_the_answer(large: LanguageModel) -> None:
    stream = large.generate(large.prompt("Is 3 larger than 50?"))
    assert next(stream).text == "No"
    with pytest.raises(StopIteration) as stop:
        next(stream)
    assert stop.value.value == "stop"


def test_generation_ends_with_the_context_window(model: LanguageModel) -> None:
    prompt = [model.tokenizer.user] * (model.context_window - 3)
    assert len(list(model.generate(prompt, stop_tokens=()))) == 3


def test_prompts_that_do_not_fit_are_refused_at_the_call(model: LanguageModel) -> None:
    with pytest.raises(ValueError, match=r"256 tokens and 1 more .* context window of 256; shorten"):
        model.generate([model.tokenizer.user] * 256)
    with pytest.raises(ValueError, match="context window"):
        model.score([model.tokenizer.user] * 256, [0])
    with pytest.raises(ValueError, match="prompt is empty"):
        model.generate([])
    with pytest.raises(ValueError, match="must not be negative"):
        model.generate(model.prompt("Hi"), temperature=-1)


def test_calculator_is_called_and_its_result_used(large: LanguageModel) -> None:
    right = 0
    for a, b in ((347, 589), (12, 908), (730, 55), (101, 202), (999, 441)):
        prompt = large.prompt(f"What is {a} plus {b}?", tools=True)
        tokens = list(large.generate(prompt))
        called = "".join(token.text for token in tokens)
        calculation = (f"{a}+{b}", str(a + b))
        followup = large.prompt(f"What is {a} plus {b}?", tools=True, calculation=calculation)
        right += called == f"<|call|>{a}+{b}" and text_of(large, followup) == str(a + b)
    assert right >= 4


def test_calculator_is_not_called_when_not_offered(large: LanguageModel) -> None:
    for question in generate(30, seed=5):
        assert large.tokenizer.call not in [token.id for token in large.generate(large.prompt(question.text))]


def test_chat_answers_a_greeting(large: LanguageModel) -> None:
    assert text_of(large, large.prompt("Hello!")) == "Hello! Ask me a small question."


def test_calculation_without_tools_is_refused(model: LanguageModel) -> None:
    with pytest.raises(ValueError, match="tools=True"):
        model.prompt("What is 1 plus 2?", calculation=("1+2", "3"))
