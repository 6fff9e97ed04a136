"""What a query is to the cache: the text that may be compared by likeness, and all that must agree exactly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from frugal_core.types import Message, Query

LONGEST = 400
"""Characters of a text that is still compared by likeness. A longer one is mostly a filled-in template, with documents in it,
and what such texts have in common outweighs the question: unrelated ones lie at a cosine of .97. Embedders cut it off besides.
"""


@dataclass(frozen=True, slots=True)
class Question:
    """A query as the cache sees it.

    Attributes:
        key: Digest of the whole query; equal keys are equal queries.
        partition: Digest of all but the text: namespace, models and policy, system prompt, history, tools, response format,
            call arguments. Entries of other partitions are never looked at.
        namespace: Whose it is.
        text: The last user turn, the only thing that is compared by likeness.
        semantic: Whether an entry with another text may answer.
    """

    key: str
    partition: str
    namespace: str
    text: str
    semantic: bool


def question_of(
    query: Query,
    *,
    identity: str,
    namespace: str = "",
    given: Mapping[str, Any] | None = None,
    media: str = "",
    max_turns: int = 1,
) -> Question:
    """Project a query onto what its answer depends on.

    A near neighbour may answer where the conversation ends in the user's words and there is nothing but words: turns with
    images, tool calls or tool results are matched exactly, and so are a conversation of more than `max_turns` user turns and a
    text of more than `LONGEST` characters.

    Args:
        query: The query.
        identity: All that the answer depends on besides: models with their settings, and the policy.
        namespace: Whose it is.
        given: Call arguments (stop words, tool choice, sampling parameters).
        media: Digest of what messages carry besides text.
        max_turns: Most user turns with which a neighbour may answer; 0 for exact matches only.
    """
    messages = list(query.messages)
    ends_with_user = bool(messages) and messages[-1].role == "user"
    text = messages[-1].text if ends_with_user else ""
    rest = messages[:-1] if ends_with_user else messages
    partition = digest(
        namespace,
        identity,
        query.system,
        [_turn(message) for message in rest],
        [dict(tool) for tool in query.tools],
        query.response_format,
        dict(given or {}),
    )
    semantic = (
        ends_with_user
        and bool(text.strip())
        and len(text) <= LONGEST
        and not media
        and sum(message.role == "user" for message in messages) <= max_turns
        and not any(message.has_media or message.tool_calls or message.role == "tool" for message in messages)
    )
    return Question(digest(partition, text, media), partition, namespace, text, semantic)


def text_question(text: str, *exactly: Any, namespace: str = "", semantic: bool = True) -> Question:
    """A question that is a text, beside whatever else must agree exactly: what is no chat, such as a query engine's query.

    Args:
        text: What is compared by likeness.
        exactly: What must agree exactly, as plain JSON data.
        namespace: Whose it is.
        semantic: Whether an entry with another text may answer.

    >>> text_question("Who?", "v1").partition == text_question("What?", "v1").partition
    True
    """
    partition = digest(namespace, *exactly)
    return Question(digest(partition, text, ""), partition, namespace, text, semantic and bool(text.strip()))


def digest(*parts: Any) -> str:
    """32 hexadecimal digits that tell different parts apart, whatever their order in mappings.

    >>> digest("a", "b") == digest("ab"), digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    (False, True)
    """
    written = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=repr, separators=(",", ":"))
    return blake2b(written.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _turn(message: Message) -> Sequence[Any]:
    """What of an earlier turn the answer depends on; providers' ids of tool calls are not."""
    calls = [[call.name, dict(call.args), call.error] for call in message.tool_calls]
    return [message.role, message.text, calls, message.has_media]
