"""`CachedLLM`: any one LLM behind a semantic cache."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import Self

from frugal_core.policies import Single
from llamaindex_frugal.llms import FrugalLLM


class CachedLLM(FrugalLLM):
    """One LLM that asks a semantic cache first; all else is as the LLM has it.

    It is a `FrugalLLM` of that one model, so chat, completion, streams, tools, structured prediction, agents and engines are
    served alike. Where a prompt template was filled in, only its `query_str` is matched by likeness, and everything else (the
    documents, the history, the instructions) must agree exactly.

    Args:
        llm: The LLM, or a `"provider:model"` string.
        cache: A `SemanticCache`, or the URL of its store.
        kwargs: As for `FrugalLLM`, without what decides between models.

    Raises:
        ConfigurationError: An argument is out of range or unknown.

    Examples:
        ```python
        from llama_index.core import Settings
        from llamaindex_frugal import CachedLLM

        Settings.llm = CachedLLM(Settings.llm, "disk:.frugal")
        ```

        >>> from frugal_core.cache import SemanticCache
        >>> from llamaindex_frugal.playground import PlaygroundLLM
        >>> llm = CachedLLM(PlaygroundLLM(model="playground-large"), SemanticCache(embed=None))
        >>> [llm.complete("What is 2 plus 3?").additional_kwargs["frugal"]["cache"] for _ in range(2)]
        ['miss', 'hit']
    """

    _compares_costs: ClassVar[bool] = False

    def __init__(self, llm: Any = None, cache: Any = "memory://", **kwargs: Any) -> None:
        """Build the wrapper; see the class."""
        models = kwargs.pop("models", [llm])  # as `from_dict` and copies give it
        super().__init__(models, cache=cache, **{"policy": Single(), **kwargs})

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """From `to_dict`, with the `llm` and the `cache` given anew."""
        return super().from_dict(data, **kwargs)

    @classmethod
    def class_name(cls) -> str:
        """Identifier of the class in LlamaIndex's serialized forms."""
        return "frugal_cached_llm"
