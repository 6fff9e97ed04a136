"""Who sells a model and what else its name may be written as.

Providers, gateways and frameworks spell one model in many ways: `gpt-4o-2024-08-06`, `openai:gpt-4o`,
`models/gemini-2.5-pro`, `us.anthropic.claude-3-5-sonnet-20241022-v2:0`, `claude-3-5-sonnet@20241022`. The functions
here turn a spelling into the few names under which a table may list it. They only ever take away what is *known* not to
change the model (a route, a region, a date); nothing matches by prefix, so `gpt-4o-mini` can never become `gpt-4o`.
"""

from __future__ import annotations

import re

_SPELLINGS = {
    "openai": "openai openairesponses textcompletionopenai",
    "azure": "azure azureopenai azureai azuretext azurechatopenai",
    "anthropic": "anthropic",
    "google": "google gemini genai googlegenai googleai googlegenerativeai googleaistudio",
    "vertex": "vertex vertexai googlevertex googlevertexai googleanthropicvertex anthropicvertex",
    "bedrock": "bedrock bedrockconverse amazonbedrock awsbedrock aws bedrockmantle anthropicbedrock",
    "mistral": "mistral mistralai codestral textcompletioncodestral",
    "cohere": "cohere coherechat",
    "deepseek": "deepseek",
    "xai": "xai grok",
    "groq": "groq",
    "together": "together togetherai",
    "fireworks": "fireworks fireworksai",
    "openrouter": "openrouter",
    "perplexity": "perplexity perplexityai",
    "cerebras": "cerebras",
    "deepinfra": "deepinfra",
    "sambanova": "sambanova sambanovacloud",
    "moonshot": "moonshot moonshotai",
    "zai": "zai zhipu zhipuai",
    "dashscope": "dashscope tongyi alibaba",
    "ai21": "ai21",
    "minimax": "minimax",
    "databricks": "databricks",
    "watsonx": "watsonx ibm ibmwatsonx",
    "nebius": "nebius",
    "playground": "playground frugalplayground",
    # Local runtimes: no table lists them, but a user's own price may be written "ollama/llama3".
    "ollama": "ollama ollamachat",
    "huggingface": "huggingface huggingfacehub hf",
    "llamacpp": "llamacpp",
    "vllm": "vllm hostedvllm",
    "lmstudio": "lmstudio",
}
_CANONICAL = {spelling: provider for provider, spellings in _SPELLINGS.items() for spelling in spellings.split()}

_MAKERS = (
    (re.compile(r"(ft:)?(gpt-|chatgpt-|o\d|codex-|davinci-|babbage-)"), "openai"),
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"(gemini|gemma|learnlm)"), "google"),
    (re.compile(r"(open-)?(mistral|mixtral|ministral|magistral|codestral|devstral|pixtral|voxtral)"), "mistral"),
    (re.compile(r"(command|c4ai)"), "cohere"),
    (re.compile(r"deepseek"), "deepseek"),
    (re.compile(r"grok"), "xai"),
    (re.compile(r"sonar"), "perplexity"),
    (re.compile(r"(kimi|moonshot)"), "moonshot"),
    (re.compile(r"glm"), "zai"),
    (re.compile(r"qw(en|q)"), "dashscope"),
    (re.compile(r"jamba"), "ai21"),
)

_ROUTE = re.compile(r"^(models/|publishers/[^/]+/models/|accounts/fireworks/models/|arn:.*/|(bedrock/)?(converse|invoke)/)")
_REGION = re.compile(r"^(us-gov|us|eu|apac|au|jp|ca|sa|me|global)\.(?=[a-z0-9]+\.)")
_BEDROCK_VERSION = re.compile(r"^([a-z0-9]+\..+?)-v\d+(:\d+)?(:\d+k)?$")

_DAY = r"(0[1-9]|[12]\d|3[01])"
_MONTH = r"(0[1-9]|1[0-2])"
_DATE = re.compile(
    rf"[-@](20\d\d-{_MONTH}-{_DAY}|20\d\d{_MONTH}{_DAY}|{_MONTH}{_DAY}|{_MONTH}-20\d\d|latest|default)$"
    rf"|(?<=-preview)-{_MONTH}-{_DAY}$"
)
_FLOATING = re.compile(r"[-@](latest|default)$")
_GEMINI_TAIL = re.compile(r"^(gemini-.+?)(-\d{3}|-preview)$")


def canonical_provider(provider: str | None) -> str | None:
    """One word for a provider, however a framework or a price table spells it.

    Args:
        provider: LangChain's `ls_provider`, LlamaIndex's `class_name()`, LiteLLM's `litellm_provider`, or the like.

    Returns:
        The canonical word; an unfamiliar one is returned in lower case without punctuation; `None` for `None`, for
        `""` and for `"litellm"`, a gateway whose model names carry their provider themselves.

    >>> canonical_provider("azure_openai"), canonical_provider("Anthropic_LLM"), canonical_provider("google_vertexai")
    ('azure', 'anthropic', 'vertex')
    """
    word = re.sub(r"[^a-z0-9]", "", (provider or "").lower())
    if word in _CANONICAL:
        return _CANONICAL[word]
    core = word.removesuffix("llm").removeprefix("chat")
    return _CANONICAL.get(core, word) if word not in ("", "litellm", "chatlitellm") else None


def split_provider(model: str) -> tuple[str | None, str]:
    """Takes a leading provider off a model's name, when it is one.

    >>> split_provider("openai:gpt-4o"), split_provider("azure/gpt-4o"), split_provider("ft:gpt-4o:org")
    (('openai', 'gpt-4o'), ('azure', 'gpt-4o'), (None, 'ft:gpt-4o:org'))
    """
    for separator in "/:":
        head, found, tail = model.partition(separator)
        word = re.sub(r"[-_ ]", "", head.lower())
        if found and tail and word in _CANONICAL:
            return _CANONICAL[word], tail
    return None, model


def maker(name: str) -> str | None:
    """The provider that makes a model and sells it itself; `None` when the name does not tell.

    >>> maker("claude-sonnet-4-5"), maker("o3-mini"), maker("llama-3.3-70b")
    ('anthropic', 'openai', None)
    """
    return next((provider for pattern, provider in _MAKERS if pattern.match(name.lower())), None)


def unrouted(name: str) -> str:
    """`name` in lower case, without the path by which a platform addresses it.

    >>> unrouted("accounts/fireworks/models/gpt-oss-20b"), unrouted("models/gemini-2.5-pro")
    ('gpt-oss-20b', 'gemini-2.5-pro')
    """
    return _ROUTE.sub("", name.strip().lower())


def spellings(name: str) -> tuple[str, ...]:
    """Names that mean exactly the model `name`, the given one first: without route, region and job identifier.

    >>> spellings("us.amazon.nova-lite-v1:0")
    ('us.amazon.nova-lite-v1:0', 'amazon.nova-lite-v1:0')
    >>> spellings("ft:gpt-4o-mini-2024-07-18:my-org::abc")
    ('ft:gpt-4o-mini-2024-07-18:my-org::abc', 'ft:gpt-4o-mini-2024-07-18')
    """
    name = name.strip().lower()
    bare = unrouted(name)
    if bare.startswith("ft:"):
        bare = ":".join(bare.split(":")[:2])
    home = _REGION.sub("", bare)
    return tuple(dict.fromkeys((name, bare, home, home.replace("@", "-"))))


def undated(name: str) -> tuple[str, ...]:
    """Names of the model that `name` is a dated or numbered variant of, nearest first; empty without such a suffix.

    A suffix counts only when it can be a date (`-2024-08-06`, `-20241022`, `-0613`, `-09-2025`, `-preview-05-20`),
    `-latest` or `@default`; for Gemini also the version `-001`, and a dated preview; for Bedrock also `-v1:0`.
    Mistral's `-2407` (year and month) tells models of different prices apart and is *not* taken away.

    >>> undated("gpt-4o-2024-08-06"), undated("gpt-4o-mini"), undated("mistral-large-2407")
    (('gpt-4o',), (), ())
    >>> undated("gemini-2.5-flash-preview-05-20")
    ('gemini-2.5-flash-preview', 'gemini-2.5-flash')
    """
    found: list[str] = []
    if version := _BEDROCK_VERSION.match(name):
        found.append(version[1])
    core = found[-1] if found else name
    plain = _DATE.sub("", core)
    if plain != core:
        found.append(plain)
    if (tail := _GEMINI_TAIL.match(plain)) and (tail[2] != "-preview" or plain != core):
        found.append(tail[1])
    return tuple(found)


def floating(name: str) -> str:
    """`name` without `-latest` or `@default`: what names "whatever is current" rather than a certain variant.

    >>> floating("claude-3-5-sonnet-latest"), floating("gpt-4o-2024-08-06")
    ('claude-3-5-sonnet', 'gpt-4o-2024-08-06')
    """
    return _FLOATING.sub("", name)
