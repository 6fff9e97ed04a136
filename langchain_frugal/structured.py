"""A cascade of models that each answer with a structured value."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.runnables import Runnable, RunnableConfig, RunnableParallel, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.utils import ConfigurableFieldSpec, get_unique_config_specs

from frugal_core.decision import Decision
from frugal_core.types import Answer, Query
from langchain_frugal._convert import to_answer, with_metadata
from langchain_frugal._payload import from_payload, to_payload
from langchain_frugal._runner import Runner
from langchain_frugal._runs import Host
from langchain_frugal._unparsed import unparsed

if TYPE_CHECKING:
    from langchain_frugal._cached import Front

Output = dict[str, Any]
"""`{"raw", "parsed", "parsing_error"}`, as models return with `include_raw=True`."""


Fronts: TypeAlias = Callable[[dict[str, Any]], tuple[Mapping[str, Any], "Front | None"]]
"""From a call's arguments to those of its tiers, and the cache in front of it."""


class StructuredCascade(Runnable[LanguageModelInput, Any]):
    """What `ChatFrugal.with_structured_output` returns: each tier with its provider's own method, one policy over them.

    An answer that cannot be parsed is escalated whatever its score. With `include_raw=True` the decision stands in
    `output["raw"].response_metadata["frugal"]`; without, only callbacks see it.
    """

    def __init__(self, runner: Runner, host: Host, front: Fronts) -> None:
        self.runner = runner
        self._front = front
        self.name = host.get_name()
        self.callbacks, self.tags, self.metadata = host.callbacks, host.tags, host.metadata
        self.rate_limiter = host.rate_limiter

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """Those of all tiers."""
        return get_unique_config_specs(spec for tier in self.runner.tiers for spec in tier.runnable.config_specs)

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Answer one input."""
        return self.runner.invoke(self, input, config, *self._front(kwargs))

    async def ainvoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Answer one input."""
        return await self.runner.ainvoke(self, input, config, *self._front(kwargs))

    def stream(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """The value as the only chunk: one that can be judged is whole."""
        yield from self.runner.stream(self, input, config, *self._front(kwargs))

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """As `stream`."""
        async with aclosing(self.runner.astream(self, input, config, *self._front(kwargs))) as chunks:
            async for chunk in chunks:
                yield chunk

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer many inputs, each tier in one batch."""
        return self.runner.batch(self, inputs, config, *self._front(kwargs), return_exceptions=return_exceptions)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """As `batch`."""
        return await self.runner.abatch(self, inputs, config, *self._front(kwargs), return_exceptions=return_exceptions)


@dataclass(frozen=True)
class StructuredShape:
    """Structured values in, structured values out.

    Attributes:
        include_raw: Whether the caller gets message and error as well, or the value alone.
        parsers: What makes of `{"raw": message}` an output, by the tiers' names; see `parser_of`.
    """

    include_raw: bool
    parsers: Mapping[str, Runnable[Any, Any]] = field(default_factory=dict)

    def read(self, output: Output, query: Query, tier: int, latency_s: float) -> Answer:
        """A tier's `{"raw", "parsed", "parsing_error"}` as an answer."""
        parsed, error = output.get("parsed"), output.get("parsing_error")
        problem = str(error) if error is not None else "no structured value was given" if parsed is None else None
        answer = to_answer(output["raw"], query, tier, latency_s, parsed=parsed, parsing_error=problem)
        return replace(answer, raw=output)

    def unparsed(self, error: Exception) -> Output | None:
        """What a tier said whose client parses by itself, as OpenAI's does, and could not."""
        message = unparsed(error)
        return None if message is None else {"raw": message, "parsed": None, "parsing_error": error}

    def serve(self, decision: Decision) -> Output:
        """The accepted output with its decision in the raw message."""
        output: Output = decision.answer.raw
        return {**output, "raw": with_metadata(output["raw"], decision.to_dict())}

    def result(self, output: Output) -> Any:
        """The value, or all three."""
        if self.include_raw:
            return output
        if output.get("parsing_error") is not None:
            raise cast("BaseException", output["parsing_error"])
        return output.get("parsed")

    def collect(self, query: Query, tier: int) -> None:
        """Nothing to follow: core gives a parsed value, or the error, only at the end of a stream."""

    def chunk(self, output: Output) -> Any:
        """The only chunk of a stream."""
        return self.result(output)

    def replay(self, output: Output) -> Iterator[Any]:
        """The value as the only chunk."""
        yield self.result(output)

    def payload(self, output: Output, decision: Decision) -> str | None:
        """The raw message as JSON, and whose it is: what it says is parsed anew each time."""
        raw = to_payload(output["raw"]) if decision.tier in self.parsers else None
        return None if raw is None else json.dumps([decision.tier, raw])

    def revived(self, payload: str, decision: Decision) -> Output | None:
        """The output anew, if it can be parsed."""
        try:
            tier, raw = json.loads(payload)
        except ValueError:
            return None
        message, parser = from_payload(raw), self.parsers.get(tier)
        if message is None or parser is None:
            return None
        message = with_metadata(message, decision.to_dict())
        output: Output = parser.invoke({"raw": message}, RunnableConfig(callbacks=[]))
        return output if output.get("parsed") is not None else None


def parser_of(chain: Runnable[Any, Any]) -> Runnable[Any, Any] | None:
    """What of a chain made by `with_structured_output(..., include_raw=True)` comes after the model.

    Core, and all providers who do as it does, put the model behind the key `"raw"` and parse what stands there. `None` for a
    chain that is made otherwise: what it says cannot be cached.
    """
    while isinstance(chain, RunnableBindingBase):
        chain = chain.bound
    if (
        not isinstance(chain, RunnableSequence)
        or not isinstance(chain.first, RunnableParallel)
        or [*chain.first.steps__] != ["raw"]
    ):
        return None
    rest = [*chain.middle, chain.last]
    return rest[0] if len(rest) == 1 else RunnableSequence(*rest)
