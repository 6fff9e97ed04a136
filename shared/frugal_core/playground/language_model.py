"""Tiny real language models that run on numpy alone.

>>> model = LanguageModel.load("playground-large")
>>> tokens = list(model.generate(model.prompt("What is 12 plus 7?")))
>>> "".join(token.text for token in tokens)
'19'
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError, UnknownModelError
from frugal_core.playground.dialogue import Dialogue
from frugal_core.playground.quantisation import load_weights
from frugal_core.playground.tokenizer import Tokenizer
from frugal_core.playground.transformer import Transformer

MODEL_NAMES: tuple[str, ...] = ("playground-small", "playground-medium", "playground-large")
"""The models that can be loaded, cheapest first."""

PRICES_USD_PER_1M: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"playground-small": (0.05, 0.05), "playground-medium": (0.40, 0.40), "playground-large": (3.00, 3.00)}
)
"""Invented prices (input, output) in USD per million tokens, in proportion to the parameter counts."""

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class GeneratedToken:
    """One generated token with its probability and its alternatives.

    Attributes:
        text: The text this token adds. The texts of all tokens concatenate to the whole output; special tokens
            read ``<|call|>`` and so on; the first halves of a multi-byte character read ``""``.
        logprob: Natural log of the token's probability at temperature 1, among the tokens permitted at its place.
        top: The most probable tokens with their natural log probabilities, best first; the sampled one is always
            among them (appended last where it is not one of the best). Empty for ``top_logprobs=0``.
        id: The token's index in the vocabulary.
    """

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]
    id: int


def known_model(name: str) -> str:
    """Return the name of a model if there is such a model.

    Raises:
        UnknownModelError: If there is none.
    """
    if name not in MODEL_NAMES:
        raise UnknownModelError(f"no playground model is called {name!r}; choose one of {', '.join(MODEL_NAMES)}")
    return name


class LanguageModel:
    """An autoregressive decoder-only transformer with its tokenizer.

    The weights are read-only and each call has its own key-value cache, so one model may serve many threads.

    Attributes:
        name: One of `MODEL_NAMES`.
        parameters: The number of trained parameters.
        context_window: The most tokens that prompt and output may have together.
        tokenizer: The tokenizer that the model was trained with.
    """

    def __init__(self, name: str, transformer: Transformer) -> None:
        self.name = name
        self.tokenizer = Tokenizer()
        self.parameters = transformer.parameters
        self.context_window = transformer.context_window
        self._transformer = transformer
        self._dialogue = Dialogue(self.tokenizer)

    @classmethod
    def load(cls, name: str) -> LanguageModel:
        """Return the model called `name`; each is read from disk once per process.

        Raises:
            UnknownModelError: If no model has that name.
        """
        return _load(known_model(name))

    def prompt(
        self,
        user_text: str,
        *,
        tools: bool = False,
        history: Sequence[tuple[str, str]] = (),
        calculation: tuple[str, str] | None = None,
    ) -> list[int]:
        """Lay out a conversation as the models were trained to read it.

        Args:
            user_text: The user's last message.
            tools: Whether the calculator may be called. The model then may begin its answer with ``<|call|>``
                followed by an expression such as ``12+34``.
            history: Earlier turns as (user text, assistant text), oldest first.
            calculation: The expression with which the model called the calculator in answer to `user_text`, and the
                result; needs `tools`.

        Returns:
            Token ids that end where the assistant's answer begins.

        Examples:
            >>> model = LanguageModel.load("playground-small")
            >>> [model.tokenizer.vocabulary[token] for token in model.prompt("Add 3 to 12.", tools=True)]
            ['<|tools|>', '<|user|>', 'Add', ' 3', ' to', ' 12', '.', '<|assistant|>']
        """
        return self._dialogue.prompt(user_text, tools=tools, history=history, calculation=calculation)

    def generate(
        self,
        prompt_tokens: Sequence[int],
        *,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int | None = None,
        top_logprobs: int = 5,
        stop_tokens: Collection[int] | None = None,
        allowed: Callable[[list[int]], Collection[int] | None] | None = None,
    ) -> Generator[GeneratedToken, None, FinishReason]:
        """Generate token by token; deterministic at temperature 0, and at others for a given `seed`.

        Args:
            prompt_tokens: What the model continues; see `prompt`.
            max_tokens: The most tokens to generate. Fewer are if the context window is full before.
            temperature: 0 takes the most probable token; higher values sample more evenly.
            seed: Makes sampling reproducible.
            top_logprobs: How many alternatives to report for each token.
            stop_tokens: Tokens that end the generation; they are not part of the output. Default: ``<|end|>``.
            allowed: Constrained decoding: receives the ids generated so far and returns the ids permitted next
                (stop tokens included), or None for all of them.

        Yields:
            The tokens as they are generated.

        Returns:
            (As the generator's value) "stop" after a stop token, "length" where a limit ended the output.

        Raises:
            ConfigurationError: At the call, not at the first token: if the prompt is empty or leaves no room in the
                context window, or if `temperature` or `max_tokens` is negative.
        """
        self._check_prompt(prompt_tokens, room=1)
        if temperature < 0 or max_tokens < 0:
            raise ConfigurationError(f"temperature ({temperature}) and max_tokens ({max_tokens}) must not be negative")
        stops = frozenset((self.tokenizer.end,) if stop_tokens is None else stop_tokens)
        limit = min(max_tokens, self.context_window - len(prompt_tokens))
        return self._generate(list(prompt_tokens), limit, temperature, seed, top_logprobs, stops, allowed)

    def score(self, prompt_tokens: Sequence[int], continuation_tokens: Sequence[int]) -> float:
        """Return the natural log of the probability that the model continues the prompt with exactly these tokens.

        Raises:
            ConfigurationError: If the prompt is empty, or both together exceed the context window.
        """
        self._check_prompt(prompt_tokens, room=len(continuation_tokens))
        tokens = [*prompt_tokens, *continuation_tokens]
        logits = self._transformer.forward(tokens, self._transformer.new_cache(len(tokens)))
        logprobs = _log_softmax(logits[len(prompt_tokens) - 1 : -1])
        return float(logprobs[np.arange(len(continuation_tokens)), list(continuation_tokens)].sum())

    def _generate(
        self,
        prompt: list[int],
        limit: int,
        temperature: float,
        seed: int | None,
        top_logprobs: int,
        stops: frozenset[int],
        allowed: Callable[[list[int]], Collection[int] | None] | None,
    ) -> Generator[GeneratedToken, None, FinishReason]:
        random = np.random.default_rng(seed)
        decoder = self.tokenizer.stream_decoder()
        cache = self._transformer.new_cache(len(prompt) + limit)
        generated: list[int] = []
        pending = prompt
        while len(generated) < limit:
            logits = self._transformer.forward(pending, cache, last_only=True)[-1]
            permitted = None if allowed is None else allowed(list(generated))
            if permitted is not None:
                logits = _restrict(logits, permitted)
            logprobs = _log_softmax(logits)
            token = _sample(logprobs, temperature, random)
            if token in stops:
                return "stop"
            generated.append(token)
            pending = [token]
            yield GeneratedToken(
                decoder.feed(token), float(logprobs[token]), self._alternatives(logprobs, token, top_logprobs), token
            )
        return "length"

    def _alternatives(self, logprobs: npt.NDArray[np.float64], token: int, count: int) -> tuple[tuple[str, float], ...]:
        if count <= 0:
            return ()
        order = np.argsort(-logprobs, kind="stable")[:count].tolist()
        best = [index for index in order if math.isfinite(logprobs[index])]
        if token not in best:
            best.append(token)
        return tuple((self.tokenizer.vocabulary[index], float(logprobs[index])) for index in best)

    def _check_prompt(self, prompt: Sequence[int], room: int) -> None:
        if not prompt:
            raise ConfigurationError("the prompt is empty; give at least one token, see LanguageModel.prompt")
        if len(prompt) + room > self.context_window:
            raise ConfigurationError(
                f"a prompt of {len(prompt)} tokens and {room} more for the answer do not fit in {self.name}'s context "
                f"window of {self.context_window}; shorten the prompt"
            )


@functools.cache
def _load(name: str) -> LanguageModel:
    with resources.as_file(resources.files("frugal_core.playground") / "weights" / f"{name}.npz") as path:
        return LanguageModel(name, Transformer(load_weights(path)))


def _restrict(logits: npt.NDArray[np.float32], permitted: Collection[int]) -> npt.NDArray[np.float32]:
    if not permitted:
        raise ConfigurationError("constrained decoding permits no token; permit at least a stop token")
    restricted = np.full_like(logits, -np.inf)
    indices = list(permitted)
    restricted[indices] = logits[indices]
    return restricted


def _log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    result: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _sample(logprobs: npt.NDArray[np.float64], temperature: float, random: np.random.Generator) -> int:
    if temperature == 0:
        return int(np.argmax(logprobs))
    weights = np.exp((logprobs - logprobs.max()) / temperature)
    return int(random.choice(len(weights), p=weights / weights.sum()))
