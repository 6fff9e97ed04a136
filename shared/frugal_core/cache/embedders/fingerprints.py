"""What tells an embedder of another library, or a function, from others: its kind, its settings, and its weights.

Only what changes vectors should count, and nothing secret may. Whatever is not known to be harmless counts: vectors that are
made anew without need cost a little, and vectors of two embedders that are compared cost wrong answers.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from hashlib import blake2b
from itertools import islice
from pathlib import PurePath
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

METHODS = ("embed_documents", "get_text_embedding_batch", "encode")
"""By which embedders of LangChain, LlamaIndex and sentence-transformers are known."""

_PASSED_OVER = re.compile(
    r"""(?:^|_) (?:
    api_?key | auth | authorization | cookies? | credentials? | headers? | keys? | passwd | password | secrets? | token
    | batch | cache | callbacks? | card | chunk | client | device | limiter | organization | parallel | progress | project
    | proxy | retries | retry | timeout | verbose | workers
    ) (?:_|$)""",
    re.VERBOSE | re.IGNORECASE,
)
"""Words in the names of settings that are secret, and of those that change no vector."""

_NAMES = ("model_name", "model", "model_id", "deployment", "repo_id")
_DEEPEST = 6
_MOST = 256
_SAMPLED = 64

_met: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def fingerprint_of(given: Any) -> str:
    """The same for the same embedder in every process; another for one with other settings or weights.

    A function is told by its code and by what it refers to, an object by its class and what is plain in it. An object keeps
    the fingerprint that it had when it was first met: what it counts or remembers while it works is no setting.

    >>> fingerprint_of(lambda text: [len(text)]) == fingerprint_of(lambda text: [len(text), 1])
    False
    """
    if _keeps_settings(given):
        return _made(given)
    try:
        known = _met.get(given)
        if known is None:
            known = _met[given] = _made(given)
    except TypeError:  # it cannot be hashed, or be referred to weakly
        return _made(given)
    return known


def name_of(given: Any) -> str:
    """Of a function or an object's class, for people."""
    return getattr(given, "__qualname__", None) or type(given).__name__


def _made(given: Any) -> str:
    written = json.dumps(_described(given, 0, set()), sort_keys=True, ensure_ascii=True)
    names = [_last(str(value)) for name in _NAMES if isinstance(value := _attribute(given, name), str)]
    return ":".join([name_of(given), *names[:1], blake2b(written.encode(), digest_size=8).hexdigest()])


def _last(name: str) -> str:
    """A model's name without the folder or the organisation it lies in."""
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1][:80]


def _keeps_settings(given: Any) -> bool:
    """Whether an object's settings are apart from its state: pydantic's models, and torch's."""
    return hasattr(type(given), "model_fields") or hasattr(given, "state_dict")


def _described(value: Any, depth: int, above: set[int]) -> Any:
    """As plain JSON data, the same in every process."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return _without_credentials(value)
    if depth > _DEEPEST or id(value) in above or hasattr(value, "get_secret_value"):
        return type(value).__qualname__
    above = above | {id(value)}

    def inner(part: Any) -> Any:
        return _described(part, depth + 1, above)

    for kind, describe in _KINDS:
        if isinstance(value, kind):
            return describe(value, inner)
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):
        return ["array", str(value.dtype), list(value.shape), blake2b(value.tobytes(), digest_size=8).hexdigest()]
    if isinstance(getattr(value, "fingerprint", None), str):
        return ["embedder", value.fingerprint]
    if hasattr(value, "__wrapped__"):
        return inner(value.__wrapped__)
    return [_kind(type(value)), _weights(value), _settings(value, inner, nested=depth > 0)]


def _mapping(value: Mapping[Any, Any], inner: Any) -> Any:
    if len(value) > _MOST:
        return ["mapping", len(value), [[inner(key), inner(value[key])] for key in _spread(value, len(value))]]
    kept = [[inner(key), inner(part)] for key, part in value.items() if not (isinstance(key, str) and _passed_over(key))]
    return ["mapping", sorted(kept, key=json.dumps)]


def _sequence(value: Sequence[Any], inner: Any) -> Any:
    parts = _spread(value, len(value)) if len(value) > _MOST else value
    return [len(value), *(inner(part) for part in parts)]


def _spread(parts: Any, count: int) -> Any:
    return islice(parts, 0, None, max(1, count // _SAMPLED))


def _function(value: FunctionType, inner: Any) -> Any:
    """Its code, defaults, and what it refers to outside."""
    cells = []
    for cell in value.__closure__ or ():
        try:
            cells.append(inner(cell.cell_contents))
        except ValueError:  # nothing is in it yet
            cells.append(None)
    names = [name for name in _names(value.__code__) if name in value.__globals__]
    used = [[name, inner(value.__globals__[name])] for name in names]
    return ["function", inner(value.__code__), inner(value.__defaults__), inner(value.__kwdefaults__), cells, used]


def _names(code: CodeType) -> list[str]:
    """Names that code and the functions within it refer to."""
    inside = [name for part in code.co_consts if isinstance(part, CodeType) for name in _names(part)]
    return sorted({*code.co_names, *inside})


def _code(value: CodeType, inner: Any) -> Any:
    digest = blake2b(value.co_code, digest_size=8).hexdigest()
    return ["code", digest, [inner(part) for part in value.co_consts], value.co_names]


_KINDS: tuple[tuple[Any, Any], ...] = (
    (Enum, lambda value, inner: [_kind(type(value)), value.name]),
    (Mapping, _mapping),
    ((list, tuple), _sequence),
    ((set, frozenset), lambda value, inner: ["set", *sorted(map(inner, value), key=json.dumps)]),
    ((bytes, bytearray, memoryview), lambda value, inner: ["bytes", blake2b(value, digest_size=8).hexdigest()]),
    (PurePath, lambda value, inner: str(value)),
    (ModuleType, lambda value, inner: ["module", value.__name__]),
    (type, lambda value, inner: ["class", _kind(value)]),
    (CodeType, _code),
    (functools.partial, lambda value, inner: ["partial", inner(value.func), inner(value.args), inner(value.keywords)]),
    (MethodType, lambda value, inner: ["method", inner(value.__self__), value.__func__.__qualname__]),
    (BuiltinMethodType, lambda value, inner: ["method", inner(value.__self__), value.__qualname__]),
    (FunctionType, _function),
)


def _settings(value: Any, inner: Any, *, nested: bool) -> Any:
    """What is plain in an object, and embedders within it. Of an object inside another, only numbers and texts count."""
    fields = getattr(type(value), "model_fields", None)
    if isinstance(fields, Mapping):
        own = {name: _attribute(value, name) for name in fields}
        hidden = getattr(value, "__pydantic_private__", None) or {}
    else:
        everything = _attributes(value)
        own = {name: part for name, part in everything.items() if not name.startswith("_")}
        hidden = {name: part for name, part in everything.items() if name.startswith("_")}
        if nested and not _embeds(value):
            own = {name: part for name, part in own.items() if isinstance(part, (bool, int, float, str))}
            hidden = {}
    if hasattr(value, "state_dict"):
        own = {name: part for name, part in own.items() if not hasattr(part, "state_dict") and name != "training"}
        hidden = {}
    hidden = {name: part for name, part in hidden.items() if _embeds(part)}
    if any(hasattr(part, "state_dict") for part in hidden.values()):  # weights tell more than the folder they lie in
        own = {name: part for name, part in own.items() if name not in _NAMES}
    return [[name, inner(part)] for name, part in sorted({**own, **hidden}.items()) if not _passed_over(name)]


def _attributes(value: Any) -> dict[str, Any]:
    slots = {name for kind in type(value).__mro__ for name in _slots(kind)}
    return {**{name: _attribute(value, name) for name in slots}, **getattr(value, "__dict__", {})}


def _slots(kind: type) -> Sequence[str]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:  # a property that asks a server
        return None


def _embeds(value: Any) -> bool:
    return not isinstance(value, (str, type)) and any(callable(_attribute(value, name)) for name in METHODS)


def _weights(value: Any) -> Any:
    """Of a model of torch: shape and kind of every weight, and some of the numbers; and how texts are prepared for it."""
    if not hasattr(value, "state_dict"):
        return None
    digest = blake2b(digest_size=8)
    for name, weight in sorted(value.state_dict().items()):
        flat = weight.detach().reshape(-1)
        some = flat[:: max(1, len(flat) // _SAMPLED)].float().cpu().numpy()
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype} ".encode() + some.tobytes())
    known = ("max_seq_length", "truncate_dim", "default_prompt_name", "prompts")
    modules = [repr(module.get_config_dict()) for module in value.children() if hasattr(module, "get_config_dict")]
    return [digest.hexdigest(), [repr(_attribute(value, name)) for name in known], modules]


def _passed_over(name: str) -> bool:
    return _PASSED_OVER.search(name) is not None


def _without_credentials(text: str) -> str:
    """An address without the user and the parameters in it.

    >>> _without_credentials("https://me:secret@host/v1?key=1")
    'https://host/v1'
    """
    return re.sub(r"[?#].*|(?<=//)[^/@]*@", "", text) if "://" in text else text


def _kind(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
