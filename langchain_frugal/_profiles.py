"""What several models can do together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel, ModelProfile


def common_profile(models: Sequence[BaseChatModel | None]) -> ModelProfile | None:
    """What holds whichever tier answers: the and of capabilities, the least of limits, nothing on which they differ otherwise.

    `None` when any model has no profile: nothing can then be promised.
    """
    profiles = [model.profile if model is not None else None for model in models]
    known = [cast("dict[str, Any]", profile) for profile in profiles if profile]
    if not known or len(known) < len(profiles):
        return None
    common: dict[str, Any] = {}
    for name in known[0]:
        values = [profile[name] for profile in known if name in profile]
        if len(values) < len(known):
            continue
        if all(isinstance(value, bool) for value in values):
            common[name] = all(values)
        elif all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            common[name] = min(values)
        elif all(value == values[0] for value in values):
            common[name] = values[0]
    return cast("ModelProfile", common) or None
