"""The tokenizer: lossless for any text, small, and safe against text that looks like special tokens."""

from hypothesis import given
from hypothesis import strategies as st

from frugal_core.playground.questions import generate
from frugal_core.playground.tokenizer import Tokenizer

TOKENIZER = Tokenizer()


@given(st.text())
def test_any_text_survives(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.lists(st.sampled_from(["What", " is", " 7", "7", " ", "\n", "é", "日", "🙂", '"', "<|end|>", "plus", " plus"])))
def test_mixed_text_survives(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.text())
def test_streamed_texts_concatenate_to_the_text(text: str) -> None:
    decoder = TOKENIZER.stream_decoder()
    assert "".join(decoder.feed(token) for token in TOKENIZER.encode(text)) + decoder.finish() == text


@given(st.lists(st.integers(0, len(TOKENIZER.vocabulary) - 1)))
def test_any_ids_can_be_decoded(ids: list[int]) -> None:
    assert isinstance(TOKENIZER.decode(ids), str)


def test_vocabulary_is_small_and_without_doubles() -> None:
    assert len(TOKENIZER.vocabulary) <= 600
    assert len(set(TOKENIZER.vocabulary)) == len(TOKENIZER.vocabulary)


def test_text_never_becomes_a_special_token() -> None:
    special = {name: getattr(TOKENIZER, name) for name in ("user", "assistant", "tools", "call", "result", "end")}
    for name, token in special.items():
        assert TOKENIZER.vocabulary[token] == f"<|{name}|>"
        assert not set(TOKENIZER.encode(f"<|{name}|>")) & set(special.values())


def test_incomplete_character_reads_as_replacement() -> None:
    ids = TOKENIZER.encode("é")
    assert TOKENIZER.decode(ids[:-1]) == "\ufffd"
    assert TOKENIZER.decode([*ids[:-1], *TOKENIZER.encode("a")]) == "\ufffda"


def test_questions_are_short() -> None:
    lengths = [len(TOKENIZER.encode(question.text)) for question in generate(500, seed=3)]
    assert max(lengths) <= 30
