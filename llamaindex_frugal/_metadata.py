"""What several models can do together, in LlamaIndex's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from llama_index.core.base.llms.types import LLMMetadata

ContextWindow = Literal["min", "max"]


def common_metadata(metadata: Sequence[LLMMetadata], context_window: ContextWindow) -> LLMMetadata:
    """Merge the metadata of all tiers.

    Args:
        metadata: Of each tier, cheapest first.
        context_window: `"min"`: prompts are packed so that every tier can take them. `"max"`: as large as the largest tier
            takes them, and those that cannot are skipped.
    """
    window = min if context_window == "min" else max
    return LLMMetadata(
        context_window=window(one.context_window for one in metadata),
        num_output=max(one.num_output for one in metadata),
        is_chat_model=any(one.is_chat_model for one in metadata),
        is_function_calling_model=any(one.is_function_calling_model for one in metadata),
        model_name=" > ".join(one.model_name for one in metadata),
        system_role=metadata[0].system_role,
    )
