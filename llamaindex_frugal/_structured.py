"""Structured prediction: each tier by its own method, and what cannot be parsed is escalated."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.output_parsers.base import OutputParserException
from llama_index.core.prompts import BasePromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ValidationError

from frugal_core.cache.question import Question
from frugal_core.engine import aclosed, closed
from frugal_core.tokens import estimated
from frugal_core.types import Answer, Query, Tier, samples
from llamaindex_frugal._convert import Response, conversation, system_prompt, to_answer
from llamaindex_frugal._heard import overhearing
from llamaindex_frugal._questions import asked_question, slots_of
from llamaindex_frugal._requests import Request
from llamaindex_frugal._tiers import TierModel

_UNPARSABLE = (ValidationError, OutputParserException)
_PERHAPS_UNPARSABLE = (ValueError, TypeError, KeyError)
"""What programs raise for an answer that they cannot read, and others for other reasons."""


@dataclass(frozen=True)
class Structured:
    """What came of asking one tier.

    Attributes:
        value: The value.
        error: Why there is none.
        responses: What the model said on the way, where it told.
    """

    value: Any = None
    error: Exception | None = None
    responses: list[Response] = field(default_factory=list)


class StructuredRequest(Request):
    """A prompt in, a value of a class out.

    Args:
        output_cls: The class.
        prompt: Template of the prompt.
        given: Call arguments for the model.
        prompt_args: Values of the template's variables.
        system_prompt: What each model puts before the messages.
        mode: How models are made to give values; by the default mode each does as it does of itself.
    """

    typed = True

    def __init__(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        given: dict[str, Any],
        prompt_args: Mapping[str, Any],
        system_prompt: str | None,
        mode: PydanticProgramMode,
    ) -> None:
        self.output_cls = output_cls
        self.prompt = prompt
        self.given = given
        self.prompt_args = prompt_args
        self.system_prompt = system_prompt
        self.mode = mode

    def query(self, tiers: tuple[Tier, ...], reference: int) -> Query:
        """The prompt as policies see it."""
        schema = self.output_cls.model_json_schema()
        messages = self._messages()
        own = [ChatMessage(self.system_prompt, role=MessageRole.SYSTEM)] if self.system_prompt else []
        return Query(conversation(messages), tiers, reference, system_prompt([*own, *messages]), response_format=schema)

    def ask(self, tier: TierModel, kwargs: dict[str, Any]) -> Structured:
        """Call `structured_predict`."""
        heard: list[Response] = []
        try:
            with overhearing(heard):
                value = self._llm(tier).structured_predict(self.output_cls, self._prompt(), dict(kwargs), **self.prompt_args)
        except Exception as error:
            return _unparsable(error, heard)
        return Structured(value, responses=heard)

    async def aask(self, tier: TierModel, kwargs: dict[str, Any]) -> Structured:
        """As `ask`."""
        heard: list[Response] = []
        try:
            with overhearing(heard):
                llm = self._llm(tier)
                value = await llm.astructured_predict(self.output_cls, self._prompt(), dict(kwargs), **self.prompt_args)
        except Exception as error:
            return _unparsable(error, heard)
        return Structured(value, responses=heard)

    def stream(self, tier: TierModel, kwargs: dict[str, Any]) -> Iterator[Structured]:
        """Objects that grow, as the model's own stream gives them."""
        heard: list[Response] = []
        llm = self._llm(tier)
        with closed(iter(llm._structured_stream_call(self.output_cls, self._prompt(), kwargs, **self.prompt_args))) as pieces:
            while True:
                with overhearing(heard):  # only while the model works: whoever reads the stream may call models as well
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield Structured(piece, responses=heard)

    async def astream(self, tier: TierModel, kwargs: dict[str, Any]) -> AsyncIterator[Structured]:
        """As `stream`."""
        heard: list[Response] = []
        llm = self._llm(tier)
        pieces = await llm._structured_astream_call(self.output_cls, self._prompt(), kwargs, **self.prompt_args)
        async with aclosed(pieces):
            while True:
                with overhearing(heard):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                yield Structured(piece, responses=heard)

    def answer(self, output: Structured, query: Query, tier: int, latency_s: float, model: TierModel) -> Answer:
        """An output as an answer: the model's last words, and what all of them cost."""
        error = None if output.error is None else str(output.error)
        if output.responses:
            answers = [to_answer(one, query, tier, latency_s, model.llm) for one in reversed(output.responses)]
            answer = replace(samples(answers), samples=())
        else:
            text = output.value.model_dump_json() if isinstance(output.value, BaseModel) else ""
            answer = estimated(Answer(text, latency_s=latency_s, tier=tier), query)
        return replace(answer, parsed=output.value, parsing_error=error, raw=output)

    def serve(self, output: Structured, frugal: Mapping[str, Any]) -> Any:
        """The value. Its decision is told by an event, since the value is of the user's class."""
        if output.error is not None:
            raise output.error
        return output.value

    def chunk(self, piece: Structured, tier: TierModel) -> Any:
        """The object as far as it has grown."""
        return piece.value

    def drafted(self, output: Structured, frugal: Mapping[str, Any]) -> Any:
        """The value, in one piece."""
        return self.serve(output, frugal)

    def closing(self, last: Structured, frugal: Mapping[str, Any]) -> None:
        """Nothing: the last object was the whole."""

    def question(self, query: Query, *, alike: bool, **about: Any) -> Question:
        """The prompt, of which a near one may answer if it is the user's own question that differs."""
        slots = slots_of(self.prompt, self.prompt_args, None, self.prompt.format_messages)
        form = ["structured", self.system_prompt, self.mode.value]
        return asked_question(query, slots, self._messages(), given=self.given, form=form, **about)

    def written(self, output: Structured, tier: str | None) -> tuple[str, str] | None:
        """The value, if it is whole and comes back the same."""
        if not isinstance(output.value, self.output_cls):
            return None
        try:
            value = output.value.model_dump(mode="json", by_alias=True)
            payload = json.dumps({"tier": tier, "value": value}, ensure_ascii=False)
            same = self.output_cls.model_validate(value) == output.value
        except (TypeError, ValueError):
            return None
        return (json.dumps(value, ensure_ascii=False), payload) if same else None

    def recalled(self, payload: str) -> Structured | None:
        """The value, validated again."""
        try:
            return Structured(self.output_cls.model_validate(json.loads(payload)["value"]))
        except (TypeError, ValueError, KeyError):
            return None

    def replayed(self, output: Structured, frugal: Mapping[str, Any]) -> Iterator[Any]:
        """The value, in one piece."""
        yield output.value

    def _messages(self) -> list[ChatMessage]:
        return self.prompt.format_messages(**self.prompt_args)

    def _prompt(self) -> Any:
        """A copy of the template: programs leave their parser in the one they are given."""
        return self.prompt.model_copy()

    def _llm(self, tier: TierModel) -> Any:
        return tier.prompted(self.system_prompt, self.mode)


def _unparsable(error: Exception, heard: list[Response]) -> Structured:
    """An answer that could not be read. If there was no answer, the error is the model's own and rises."""
    if isinstance(error, _UNPARSABLE) or (heard and isinstance(error, _PERHAPS_UNPARSABLE)):
        return Structured(error=error, responses=heard)
    raise error
