"""Prices: right row, right sum, and an honest `None` for everything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core import price_tables, pricing
from frugal_core.errors import ConfigurationError
from frugal_core.model_names import canonical_provider, maker, split_provider, undated
from frugal_core.price_tables import read_litellm
from frugal_core.pricing import Listing, Price, PriceBook, unknown_price_hint
from frugal_core.types import Usage


def entry(provider: str, read: float, write: float, **more: Any) -> dict[str, Any]:
    return {
        "litellm_provider": provider,
        "mode": "chat",
        "input_cost_per_token": read * 1e-6,
        "output_cost_per_token": write * 1e-6,
        **more,
    }


TABLE: Mapping[str, Any] = {
    "sample_spec": {"input_cost_per_token": "a description, not a number", "mode": "one of: chat, ..."},
    "gpt-4o": entry("openai", 2.5, 10, cache_read_input_token_cost=1.25e-6, max_input_tokens=128_000),
    "gpt-4o-2024-05-13": entry("openai", 5, 15),
    "gpt-4o-mini": entry("openai", 0.15, 0.6),
    "gpt-4o-mini-2024-07-18": entry("openai", 0.15, 0.6),
    "gpt-4": entry("openai", 30, 60),
    "o1": entry("openai", 15, 60),
    "ft:gpt-4o-mini-2024-07-18": entry("openai", 0.3, 1.2),
    "azure/gpt-4o": entry("azure", 2.75, 11, max_input_tokens=64_000),
    "claude-3-5-sonnet-20240620": entry("anthropic", 3, 15),
    "claude-3-5-sonnet-20241022": entry("anthropic", 3, 15),
    "claude-opus-x-20250101": entry("anthropic", 15, 75),
    "claude-opus-x-20250909": entry("anthropic", 5, 25),
    "us.anthropic.claude-3-5-sonnet-20241022-v2:0": entry("bedrock", 3.3, 16.5),
    "anthropic.claude-3-5-sonnet-20241022-v2:0": entry("bedrock_converse", 3, 15),
    "vertex_ai/claude-3-5-sonnet@20241022": entry("vertex_ai-anthropic_models", 3.1, 15.5),
    "gemini/gemini-2.0-flash": entry("gemini", 0.1, 0.4),
    "gemini/gemini-2.5-flash": entry("gemini", 0.3, 2.5),
    "vertex_ai/gemini-2.0-flash": entry("vertex_ai-language-models", 0.15, 0.6),
    "groq/llama-70b": entry("groq", 0.59, 0.79),
    "together_ai/llama-70b": entry("together_ai", 0.88, 0.88),
    "groq/llama-8b": entry("groq", 0.05, 0.08),
    "together_ai/llama-8b": entry("together_ai", 0.05, 0.08),
    "fireworks_ai/accounts/fireworks/models/llama-8b": entry("fireworks_ai", 0.05, 0.08),
    "openrouter/anthropic/claude-3.5-sonnet": entry("openrouter", 3, 15),
    "mistral/mistral-large-latest": entry("mistral", 0.5, 1.5),
    "mistral/mistral-large": entry("mistral", 0.5, 1.5),
    "perplexity/sonar": entry("perplexity", 1, 1, search_context_cost_per_query={"search_context_size_low": 0.005}),
    "perplexity/online": entry("perplexity", 0, 1, input_cost_per_request=0.004),
    "ollama/llama3": entry("ollama", 0, 0),
    "dall-e-3": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_pixel": 1e-8},
    "text-embedding-3-small": entry("openai", 0.02, 0) | {"mode": "embedding"},
    "gpt-4o-realtime-preview": entry("openai", 5, 20) | {"mode": "realtime"},
}


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.from_litellm(TABLE)


def rates(price: Price | None) -> tuple[float, float] | None:
    return None if price is None else (price.input, price.output)


# --- cost -------------------------------------------------------------------------------------------------------------


def test_cost_adds_up_every_part() -> None:
    price = Price(input=2.0, output=8.0, cached_input=0.5, request=0.005)
    assert price.cost(Usage(1000, 100, cached_input_tokens=400)) == pytest.approx(
        600 * 2e-6 + 400 * 0.5e-6 + 100 * 8e-6 + 0.005
    )


def test_cached_tokens_cost_the_full_price_where_no_other_is_known() -> None:
    assert Price(2.0, 8.0).cost(Usage(1000, 0, cached_input_tokens=400)) == pytest.approx(0.002)


def test_cached_tokens_may_be_free() -> None:
    assert Price(2.0, 8.0, cached_input=0.0).cost(Usage(1000, 0, cached_input_tokens=1000)) == 0.0


dollars = st.floats(0, 1e4)
counts = st.integers(0, 10**7)


@given(dollars, dollars, dollars, dollars, counts, counts, st.floats(0, 1))
def test_cost_is_linear_and_never_negative(
    read: float, write: float, cached: float, request: float, tokens: int, out: int, share: float
) -> None:
    price = Price(read, write, cached, request)
    usage = Usage(tokens, out, int(tokens * share))
    cost = price.cost(usage)
    assert cost >= 0
    assert cost >= request
    assert price.cost(usage + usage) - request == pytest.approx(2 * (cost - request), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf"), "2", None, True])
def test_a_price_that_is_none_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Price\.output must be a finite number"):
        Price(1.0, bad)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [
        ("gpt-4o", None, (2.5, 10)),
        ("GPT-4o ", "OpenAI", (2.5, 10)),
        ("openai/gpt-4o", None, (2.5, 10)),
        ("openai:gpt-4o", "openai", (2.5, 10)),
        ("openai/gpt-4o", "litellm", (2.5, 10)),
        ("gpt-4o-2024-05-13", None, (5, 15)),
        ("gpt-4o-2024-08-06", None, (2.5, 10)),
        ("gpt-4o-latest", None, (2.5, 10)),
        ("gpt-4o-mini-2024-07-18", None, (0.15, 0.6)),
        ("gpt-4-0613", None, (30, 60)),
        ("gpt-4o", "azure", (2.75, 11)),
        ("gpt-4o-2024-08-06", "azure_openai", (2.75, 11)),
        ("azure/gpt-4o", None, (2.75, 11)),
        ("claude-3-5-sonnet-20241022", "anthropic", (3, 15)),
        ("claude-3-5-sonnet-latest", "Anthropic_LLM", (3, 15)),
        ("claude-3-5-sonnet", None, (3, 15)),
        ("claude-3-5-sonnet@20241022", "google_vertexai", (3.1, 15.5)),
        ("publishers/anthropic/models/claude-3-5-sonnet@20241022", "vertexai", (3.1, 15.5)),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "amazon_bedrock", (3.3, 16.5)),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", None, (3.3, 16.5)),
        ("eu.anthropic.claude-3-5-sonnet-20241022-v2:0", "bedrock_converse", (3, 15)),
        ("arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-3-5-sonnet-20241022-v2:0", "bedrock", (3, 15)),
        ("models/gemini-2.0-flash", "google_genai", (0.1, 0.4)),
        ("gemini-2.0-flash-001", None, (0.1, 0.4)),
        ("gemini-2.0-flash-001", "vertexai", (0.15, 0.6)),
        ("gemini-2.5-flash-preview-05-20", None, (0.3, 2.5)),
        ("gemini-2.5-flash-preview-09-2025", None, (0.3, 2.5)),
        ("anthropic/claude-3.5-sonnet", "openrouter", (3, 15)),
        ("anthropic/claude-3.5-sonnet", None, (3, 15)),
        ("accounts/fireworks/models/llama-8b", "fireworks", (0.05, 0.08)),
        ("llama-70b", "groq", (0.59, 0.79)),
        ("llama-70b", "TogetherLLM", (0.88, 0.88)),
        ("llama-8b", None, (0.05, 0.08)),
        ("ft:gpt-4o-mini-2024-07-18:org::id", None, (0.3, 1.2)),
    ],
)
def test_every_spelling_finds_its_row(book: PriceBook, model: str, provider: str | None, expected: tuple[float, float]) -> None:
    assert rates(book.price(model, provider)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o-realtime-preview", None),
        ("gpt-4o-audio-preview-2024-12-17", None),
        ("gpt-4o-nano", None),
        ("gpt-4-turbo", None),
        ("gpt-4-32k", None),
        ("gpt-4-vision-preview", None),
        ("chatgpt-4o-latest", None),
        ("gpt-4o-9999-99-99", None),
        ("gpt-4o-20241322", None),
        ("gpt-4o-05-20", None),
        ("o1-mini", None),
        ("o1-mini-2024-09-12", None),
        ("o1-preview", None),
        ("o1-preview-2024-09-12", None),
        ("o1-pro", None),
        ("mistral-large-2407", "mistralai"),
        ("gemini-2.0-flash-lite", None),
        ("gemini-2.5-flash-preview-tts", None),
        ("claude-opus-x", "anthropic"),
        ("claude-opus-x-latest", "anthropic"),
        ("claude-opus-x-20260101", "anthropic"),
        ("ft:gpt-4o:org::id", None),
        ("ft:gpt-4o-2024-08-06:org::id", "openai"),
        ("my-org/gpt-4o", None),
        ("llama-70b", None),
        ("gpt-4o", "groq"),
        ("gpt-4o", "some_proxy"),
        ("anthropic/claude-3.5-sonnet", "openai"),
        ("llama3", "ollama"),
        ("ollama/llama3", None),
        ("gpt-4o", "llamacpp"),
        ("dall-e-3", None),
        ("text-embedding-3-small", "openai"),
        ("sample_spec", None),
        ("", None),
        ("  ", "openai"),
        (None, None),
        (None, "openai"),
    ],
)
def test_what_cannot_be_told_is_unknown(book: PriceBook, model: str | None, provider: str | None) -> None:
    assert book.price(model, provider) is None


def test_a_request_price_is_taken_over(book: PriceBook) -> None:
    sonar, online = book.price("sonar", "perplexity"), book.price("online", "perplexity")
    assert sonar is not None
    assert online is not None
    assert (sonar.request, online.request) == (0.005, 0.004)


def test_context_window_follows_the_provider(book: PriceBook) -> None:
    assert book.context_window("gpt-4o-2024-08-06") == 128_000
    assert book.context_window("gpt-4o", "azure") == 64_000
    assert book.context_window("o1") is None
    assert book.context_window("nobody-knows") is None
    assert book.context_window(None) is None


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("openai", "openai"),
        ("openai_llm", "openai"),
        ("AzureChatOpenAI", "azure"),
        ("google_genai", "google"),
        ("vertex_ai", "vertex"),
        ("bedrock_converse", "bedrock"),
        ("Bedrock_Converse_LLM", "bedrock"),
        ("mistralai", "mistral"),
        ("together_ai", "together"),
        ("x-ai", "xai"),
        ("ChatGroq", "groq"),
        ("Some-Proxy", "someproxy"),
        ("", None),
        (None, None),
    ],
)
def test_canonical_provider(spelling: str | None, canonical: str | None) -> None:
    assert canonical_provider(spelling) == canonical


def test_a_tag_is_no_provider() -> None:
    assert split_provider("llama3:8b") == (None, "llama3:8b")
    assert split_provider("openai:") == (None, "openai:")


@given(st.text())
def test_names_of_any_kind_are_unknown_not_an_error(name: str) -> None:
    assert PriceBook.from_litellm(TABLE).price(f"zzz{name}zzz") is None
    assert all(len(family) < len(name) for family in undated(name))
    maker(name)


# --- the user's own prices --------------------------------------------------------------------------------------------


@given(st.sampled_from([name for name in TABLE if "/" not in name]), dollars, dollars)
def test_an_override_always_wins(name: str, read: float, write: float) -> None:
    mine = PriceBook.from_litellm(TABLE).override({name: (read, write)})
    for provider in (None, "openai", "azure", "ollama", "whoever"):
        assert rates(mine.price(name, provider)) == (read, write)


def test_an_override_holds_for_dated_variants_but_not_for_other_models(book: PriceBook) -> None:
    mine = book.override({"gpt-4o": Price(1, 2)})
    assert rates(mine.price("gpt-4o-2024-05-13")) == (1, 2)
    assert rates(mine.price("gpt-4o", "azure")) == (1, 2)
    assert rates(mine.price("gpt-4o-mini")) == pytest.approx((0.15, 0.6))
    assert mine.price("ft:gpt-4o:org::id") is None
    closer = mine.override({"gpt-4o-2024-05-13": Price(3, 4)})
    assert rates(closer.price("gpt-4o-2024-05-13")) == (3, 4)
    assert rates(closer.price("gpt-4o-2024-08-06")) == (1, 2)


@pytest.mark.parametrize("key", ["azure/chat-prod", "azure:chat-prod", "azure_openai/Chat-Prod"])
def test_an_override_may_name_its_provider(book: PriceBook, key: str) -> None:
    mine = book.override({key: (1, 2), "azure/gpt-4o": (7, 8)})
    assert rates(mine.price("chat-prod", "azure")) == (1, 2)
    assert rates(mine.price("azure/chat-prod")) == (1, 2)
    assert mine.price("chat-prod", "openai") is None
    assert rates(mine.price("gpt-4o", "openai")) == pytest.approx((2.5, 10))


def test_a_deployment_may_stand_for_a_model(book: PriceBook) -> None:
    mine = book.override({"prod": "gpt-4o", "pinned": "openai:gpt-4o", "next": "prod"})
    assert rates(mine.price("prod", "azure")) == pytest.approx((2.75, 11))
    assert rates(mine.price("prod", "my_gateway")) == pytest.approx((2.5, 10))
    assert rates(mine.price("pinned", "azure")) == pytest.approx((2.5, 10))
    assert rates(mine.price("next", "azure")) == pytest.approx((2.75, 11))
    assert mine.context_window("prod", "azure") == 64_000


def test_an_alias_may_name_a_dated_variant_of_itself(book: PriceBook) -> None:
    mine = book.override({"gpt-4o": "gpt-4o-2024-05-13"})
    assert rates(mine.price("gpt-4o")) == pytest.approx((5, 15))
    assert rates(mine.price("gpt-4o-2024-08-06")) == pytest.approx((5, 15))


def test_an_alias_may_lead_to_an_own_price_and_to_one_that_only_some_sell(book: PriceBook) -> None:
    mine = book.override({"base": (1, 2), "prod": "base", "fast": "llama-70b"})
    assert rates(mine.price("prod", "vllm")) == (1, 2)
    assert rates(mine.price("fast", "groq")) == pytest.approx((0.59, 0.79))
    assert mine.price("fast") is None


@pytest.mark.parametrize(
    "prices", [{"prod": "gpt-9000"}, {"a": "b", "b": "a"}, {"a": "a"}, {"prod": "groq/gpt-4o"}, {"prod": "ollama/llama3"}]
)
def test_an_alias_of_nothing_is_refused(book: PriceBook, prices: Mapping[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"stands for .* not in the price table.*prices=\{"):
        book.override(prices)


@pytest.mark.parametrize("value", [None, 3.0, (1,), (1, 2, 3), "", {"input": 1}])
def test_an_override_that_is_no_price_is_refused(book: PriceBook, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"prices\['m'\] is .*Give a Price"):
        book.override({"m": value})


def test_free_is_only_what_the_user_calls_free(book: PriceBook) -> None:
    mine = book.override({"llama3": (0, 0)})
    price = mine.price("llama3", "ollama")
    assert price is not None
    assert price.cost(Usage(10**6, 10**6)) == 0.0
    assert book.price("llama3", "ollama") is None


def test_override_leaves_the_book_as_it_was(book: PriceBook) -> None:
    before = book.price("gpt-4o")
    first = book.override({"gpt-4o": (1, 1), "x": (5, 5)})
    second = first.override({"gpt-4o": (2, 2)})
    assert book.price("gpt-4o") == before
    assert rates(first.price("gpt-4o")) == (1, 1)
    assert rates(second.price("gpt-4o")) == (2, 2)
    assert rates(second.price("x")) == (5, 5)
    assert second.context_window("gpt-4o") == 128_000


def test_the_hint_names_the_model_and_the_argument() -> None:
    hint = unknown_price_hint("llama3", "ollama")
    assert "'llama3'" in hint
    assert "'ollama'" in hint
    assert 'prices={"llama3": (input, output)}' in hint
    assert "None" not in unknown_price_hint(None).replace("(None)", "")


# --- LiteLLM's file ---------------------------------------------------------------------------------------------------


def test_a_file_reads_like_its_content(tmp_path: Path, book: PriceBook) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(TABLE))
    for source in (file, str(file)):
        read = PriceBook.from_litellm(source, as_of="2026-01-02")
        assert len(read) == len(book)
        price = read.price("gpt-4o")
        assert price is not None
        assert (price.cached_input, price.source, price.as_of) == (1.25, "prices.json", "2026-01-02")


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ("{", "is not JSON"),
        ("[1]", "a JSON list"),
        ("{}", "none of its 0 entries"),
        ('{"sample_spec": {}}', "none of its 1 entries"),
        ('{"m": 3}', "entry 'm' is a int"),
        (json.dumps({"m": entry("openai", 1, 1) | {"input_cost_per_token": "1e-6"}}), "input_cost_per_token='1e-6'"),
        (json.dumps({"m": entry("openai", 1, -1)}), "output_cost_per_token=-1e-06"),
        ('{"m": {"litellm_provider": "x", "input_cost_per_token": NaN, "output_cost_per_token": 1}}', "nan"),
        (json.dumps({"m": entry("openai", 1, 1, max_input_tokens="8k")}), "max_input_tokens='8k'"),
    ],
)
def test_a_malformed_file_is_named_with_what_was_seen(tmp_path: Path, content: str, seen: str) -> None:
    file = tmp_path / "broken.json"
    file.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        PriceBook.from_litellm(file)
    message = str(caught.value)
    assert "broken.json" in message
    assert seen in message
    assert "Pass LiteLLM's" in message or "Correct or drop" in message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.json: cannot be read"):
        PriceBook.from_litellm(tmp_path / "absent.json")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PriceBook.from_litellm(tmp_path)


def test_a_renewed_table_says_the_same_as_its_source() -> None:
    rows = read_litellm(TABLE)
    again = price_tables.parse(price_tables.format_table(rows, "LiteLLM, a test", "2026-11-20"))
    assert {key: (row.context, rates(row.price), row.price.cached_input, row.price.request) for key, row in again.items()} == {
        key: (row.context, rates(row.price), row.price.cached_input, row.price.request) for key, row in rows.items()
    }
    assert {(row.price.source, row.price.as_of) for row in again.values()} == {("LiteLLM, a test", "2026-11-20")}


# --- the packaged tables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [
        ("gpt-4o", "openai", (2.5, 10.0)),
        ("gpt-4o-2024-05-13", "openai", (5.0, 15.0)),
        ("gpt-4o-mini", None, (0.15, 0.6)),
        ("gpt-4o", "azure", (2.5, 10.0)),
        ("claude-3-5-sonnet-20241022", "anthropic", (3.0, 15.0)),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "bedrock", (3.0, 15.0)),
        ("gemini-2.0-flash-001", "google_genai", (0.1, 0.4)),
        ("mistral-large-2407", "mistralai", (3.0, 9.0)),
        ("llama-3.3-70b-versatile", "groq", (0.59, 0.79)),
        ("playground-small", "playground", (0.05, 0.05)),
        ("playground-medium", None, (0.4, 0.4)),
        ("playground-large", None, (3.0, 3.0)),
    ],
)
def test_well_known_prices(model: str, provider: str | None, expected: tuple[float, float]) -> None:
    assert rates(PriceBook.default().price(model, provider)) == expected


def test_every_packaged_row_has_a_source_a_date_and_a_believable_price() -> None:
    rows = price_tables.read_packaged()
    assert len(rows) > 2000
    for key, listing in rows.items():
        price = listing.price
        assert price.source, key
        assert price.as_of[:2] == "20", key
        assert 0 < price.input + price.output < 1500, key
        assert price.cached_input is None or price.cached_input <= max(price.input, 0.001), key
        assert listing.context is None or 256 <= listing.context <= 20_000_000, key
        assert key[1] == key[1].lower(), key
        assert canonical_provider(key[0]) == key[0], key


def test_every_packaged_row_is_found_by_its_own_name() -> None:
    book = PriceBook.default()
    missed = [key for key, listing in price_tables.read_packaged().items() if book.price(key[1], key[0]) != listing.price]
    # Read as Perplexity's own Sonar, which pays for searches; the other is Sonar without them in the Agent API.
    assert missed == [("perplexity", "perplexity/sonar")]


def test_the_packaged_tables_are_small_and_sorted() -> None:
    folder = Path(price_tables.__file__).parent / "data"
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("prices*.csv"))]
    assert len(texts) == 3
    assert sum(map(len, texts)) < 150_000
    for text in texts:
        keys = list(price_tables.parse(text))
        assert keys == sorted(keys)


def test_default_is_one_book_for_all_threads() -> None:
    pricing._default_book.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        books = list(pool.map(lambda _: PriceBook.default(), range(64)))
        prices = set(pool.map(lambda book: book.price("gpt-4o-2024-08-06"), books))
    assert len(prices) == 1
    assert len({len(book) for book in books}) == 1
    assert PriceBook.default() is PriceBook.default()


def test_a_book_of_one_row() -> None:
    book = PriceBook({("openai", "m"): Listing(Price(1, 2), 10)})
    assert repr(book) == "PriceBook(1 listed, 0 own)"
    assert book.context_window("m") == 10
