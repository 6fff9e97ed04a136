"""Saves learned and configured objects as plain JSON. Never pickle: a policy file can be reviewed, diffed and trusted.

A class joins by `@saveable("kind")`; it is written as `{"kind": …}` plus what its `state()` returns and read back by
`from_state()`. Dataclasses get both for free from their fields. A class of this package also gets a place in `MODULES`, so
that its objects can be read before anything has imported it; a file itself names no module and imports nothing.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from frugal_core.errors import ConfigurationError

FORMAT = 1
"""Version of the file format."""

MODULES: Mapping[str, str] = MappingProxyType(
    {
        "agreement": "scorers.agreement",
        "both": "scorers.base",
        "budgeted_threshold": "policies.budgeted",
        "calibrated": "scorers.calibrated",
        "calibration": "learning.calibration",
        "candidate": "policies.fitted",
        "cascade": "policies.cascade",
        "cascade_router": "policies.cascade_router",
        "cross_encoder": "scorers.cross_encoder",
        "e_process": "learning.eprocess",
        "either": "scorers.base",
        "estimates": "policies.estimates",
        "factorisation_predictor": "predictors.factorisation",
        "fitted": "policies.fitted",
        "fixed_threshold": "policies.thresholds",
        "frontier": "learning.frontier",
        "frontier_point": "learning.frontier",
        "gains": "policies.gains",
        "guarantee": "learning.guarantee",
        "hopeless": "policies.hopeless",
        "hybrid_predictor": "predictors.hybrid",
        "learned_scorer": "scorers.learned",
        "logistic": "learning.logistic",
        "logprob_quantile": "scorers.logprobs",
        "margin": "scorers.margin",
        "mean_logprob": "scorers.logprobs",
        "min_logprob": "scorers.logprobs",
        "neighbour_predictor": "predictors.neighbours",
        "or_else": "scorers.base",
        "performance_predictor": "predictors.performance",
        "query_view": "predictors.view",
        "random_predictor": "predictors.random",
        "random_router": "policies.random_router",
        "recorded_signal": "learning.recorded_answers",
        "router": "policies.router",
        "schema_valid": "scorers.schema",
        "self_consistency": "scorers.consistency",
        "self_verification": "scorers.verification",
        "single": "policies.single",
        "standard": "predictors.standard",
        "table": "predictors.table",
        "word_directions": "predictors.words",
    }
)
"""Where in this package each kind is at home."""

T = TypeVar("T", bound=type)
_KINDS: dict[str, type] = {}


def saveable(kind: str) -> Callable[[T], T]:
    """Class decorator: objects of this class can be saved, under the name `kind`."""

    def register(cls: T) -> T:
        cls.kind = kind  # type: ignore[attr-defined]
        _KINDS[kind] = cls
        return cls

    return register


def encode(value: Any) -> Any:
    """Turn an object into plain JSON data.

    Raises:
        ConfigurationError: The object, or something in it, cannot be saved (a lambda, say).
    """
    if type(value) in _KINDS.values():
        return {"kind": value.kind, **{name: encode(part) for name, part in _state(value).items()}}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [encode(part) for part in value]
    if isinstance(value, Mapping) and "kind" not in value:
        return {str(name): encode(part) for name, part in value.items()}
    raise ConfigurationError(
        f"{value!r} cannot be saved: a policy file holds data, not code. Give the policy one of Frugal's scorers or "
        "thresholds, or build it in your program instead of loading it."
    )


def decode(data: Any) -> Any:
    """Turn plain JSON data back into the object it was made from."""
    if isinstance(data, list):
        return [decode(part) for part in data]
    if isinstance(data, dict):
        parts = {name: decode(part) for name, part in data.items() if name != "kind"}
        if "kind" not in data:
            return parts
        cls = _class(data["kind"])
        try:
            return cls.from_state(parts) if hasattr(cls, "from_state") else cls(**parts)
        except TypeError as error:
            raise ConfigurationError(f"A saved {data['kind']!r} does not fit this version: {error}.") from error
    return data


def save(value: Any, path: str | Path) -> None:
    """Write an object to a JSON file, replacing the file only once it is whole.

    Raises:
        ConfigurationError: A part of it is code, or there is no such folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"{str(path)!r} cannot be written: there is no folder {str(path.parent)!r}. Make it, or give another path."
        )
    text = json.dumps({"frugal": FORMAT, "object": encode(value)}, indent=1)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def load(path: str | Path) -> Any:
    """Read an object that `save` wrote.

    Raises:
        ConfigurationError: The file is missing, is not such a file, or was written by a later version.
    """
    path = Path(path)
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text)
    except FileNotFoundError:
        raise ConfigurationError(f"No saved policy at {str(path)!r}. Save one with policy.save({str(path)!r}).") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigurationError(f"{str(path)!r} is not a saved policy: {_recorded(text) or error}.") from error
    if not isinstance(data, dict) or "frugal" not in data or "object" not in data:
        why = _recorded(text) or "it has no 'frugal' and 'object' entries"
        raise ConfigurationError(f"{str(path)!r} is not a saved policy: {why}.")
    if data["frugal"] != FORMAT:
        raise ConfigurationError(
            f"{str(path)!r} has format {data['frugal']!r}, this version reads {FORMAT}. Upgrade langchain-frugal."
        )
    return decode(data["object"])


def _recorded(text: str) -> str | None:
    """What to do with the text of a file of recordings; `None` for any other."""
    try:
        row = json.loads(text.partition("\n")[0])
    except json.JSONDecodeError:
        return None
    if not (isinstance(row, dict) and {"dataset", "query_id", "model"} <= row.keys()):
        return None
    return "it looks like a file of recordings. Learn a policy from it with fit(...) or frugal fit, save that and load it"


def _class(kind: Any) -> Any:
    """The class of a kind, imported where it is one of this package's own."""
    name = str(kind)
    if name not in _KINDS and name in MODULES:
        importlib.import_module(f"frugal_core.{MODULES[name]}")
    if name not in _KINDS:
        known = ", ".join(sorted({*_KINDS, *MODULES}))
        raise ConfigurationError(
            f"Unknown kind {kind!r} in a saved policy; this version knows {known}. If it is a class of your own, import its "
            "module first; else upgrade langchain-frugal."
        )
    return _KINDS[name]


def _state(value: Any) -> Mapping[str, Any]:
    if hasattr(value, "state"):
        state: Mapping[str, Any] = value.state()
        return state
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
