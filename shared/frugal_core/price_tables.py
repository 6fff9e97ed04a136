"""Price lists as data: the packaged tables, LiteLLM's list, and the step from one to the other.

The packaged tables are `data/prices*.csv`. Each says on top where its prices are from and when they were read there.
`prices.csv` is today's list, the others add what it lacks: models since retired, and the playground. To renew it from
LiteLLM's `model_prices_and_context_window.json` (its wheel carries the file, its repository publishes it)::

    python -m frugal_core.price_tables FILE "LiteLLM 1.109.1" 2026-11-20 prices.csv

Prices there are USD per 1M tokens; `request` is USD per request, `context` the most input tokens; an empty field is
unknown (or, for `request`, nothing).
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from frugal_core.errors import ConfigurationError
from frugal_core.model_names import canonical_provider, split_provider, unrouted
from frugal_core.pricing import Listing, Price

Rows = dict[tuple[str, str], Listing]

_COLUMNS = ("provider", "model", "input", "output", "cached_input", "request", "context")
_TEXT_MODES = frozenset({"chat", "completion", "responses", None})
_PACKAGED = re.compile(
    r"openai|azure|anthropic|google|vertex|bedrock|mistral|cohere|deepseek|xai|groq|together|fireworks|openrouter|perplexity"
    r"|cerebras|deepinfra|sambanova|moonshot|zai|dashscope|ai21|minimax|databricks|watsonx"
)
_HIGHEST = 1000.0  # USD per 1M tokens; what costs more is a slip of the list (per 1,000 tokens taken for per token)
_REGIONAL = re.compile(r"(\*|[a-z]{2}(-gov)?-[a-z]+-\d)/")  # "eu-west-1/...": a name that only LiteLLM uses
_FIX = "Pass LiteLLM's model_prices_and_context_window.json."


def read_packaged() -> Rows:
    """All packaged tables as one; where they overlap, today's wins."""
    tables = [table for table in (resources.files("frugal_core") / "data").iterdir() if table.name.startswith("prices")]
    rows: Rows = {}
    for table in sorted(tables, key=lambda one: one.name):
        rows = {**parse(table.read_text(encoding="utf-8")), **rows}
    return rows


def parse(text: str) -> Rows:
    r"""Rows of a packaged table.

    >>> table = "# source: Acme\n# as_of: 2026-11-20\nacme,one,0.5,2,,,8192\n"
    >>> parse(table)["acme", "one"].context
    8192
    """
    about: dict[str, str] = {}
    rows: Rows = {}
    for line in text.splitlines():
        if line.startswith("#"):
            key, _, value = line.lstrip("# ").partition(": ")
            about[key] = value
            continue
        fields = tuple(next(csv.reader([line])))
        if fields == _COLUMNS:
            continue
        provider, model, read, write, cached, request, context = fields
        price = Price(
            input=float(read),
            output=float(write),
            cached_input=float(cached) if cached else None,
            request=float(request or 0),
            source=about.get("source", ""),
            as_of=about.get("as_of", ""),
        )
        rows[provider, model] = Listing(price, int(context) if context else None)
    return rows


def format_table(rows: Rows, source: str, as_of: str) -> str:
    """The text that `parse` reads, sorted so that a renewed table differs only where prices did."""
    out = io.StringIO()
    out.write(f"# source: {source}\n# as_of: {as_of}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for (provider, model), listing in sorted(rows.items()):
        price = listing.price
        cached = "" if price.cached_input is None else f"{price.cached_input:.10g}"
        request = f"{price.request:.10g}" if price.request else ""
        context = listing.context or ""
        writer.writerow([provider, model, f"{price.input:.10g}", f"{price.output:.10g}", cached, request, context])
    return out.getvalue()


def read_litellm(source: Path | str | Mapping[str, Any], *, as_of: str = "") -> Rows:
    """Rows of LiteLLM's price list; see `PriceBook.from_litellm`, which this is the work of."""
    if isinstance(source, Mapping):
        file, table = "LiteLLM price list", source
    else:
        file, table = str(source), _read_json(Path(source))
    rows: Rows = {}
    # The same model may be listed with and without its provider's prefix; the prefixed entry is read last, and wins.
    for key in sorted(table, key=lambda one: split_provider(one)[0] is not None):
        if key == "sample_spec":
            continue
        if not isinstance(table[key], Mapping):
            seen = f"entry {key!r} is a {type(table[key]).__name__}"
            raise ConfigurationError(f"{file}: {seen}, expected an object with input_cost_per_token. {_FIX}")
        rows.update(_convert(key, table[key], file, as_of))
    if not rows:
        seen = f"none of its {len(table)} entries has a price per input and output token"
        raise ConfigurationError(f"{file}: {seen}. {_FIX}")
    return rows


def _convert(key: str, entry: Mapping[str, Any], file: str, as_of: str) -> Rows:
    """One entry as a row; nothing when it is no text model or has no price."""
    if entry.get("mode") not in _TEXT_MODES:
        return {}
    where = f"{file}: {key!r}"
    read, write = _number(entry, "input_cost_per_token", where), _number(entry, "output_cost_per_token", where)
    prefix, name = split_provider(key)
    declared = str(entry.get("litellm_provider") or "").split("-")[0]  # "vertex_ai-language-models"
    provider = canonical_provider(declared) or prefix
    if read is None or write is None or read == write == 0 or provider is None:
        return {}
    for head in (f"{declared}/", f"{provider}/"):
        name = name if prefix == provider else key.removeprefix(head)
    name = unrouted(name)
    cached = _number(entry, "cache_read_input_token_cost", where)
    request = _number(entry, "input_cost_per_request", where)
    if request is None and provider == "perplexity" and name.startswith("sonar"):  # Every call pays for a search.
        request = _number(entry.get("search_context_cost_per_query") or {}, "search_context_size_low", where)
    context = _number(entry, "max_input_tokens", where)
    price = Price(
        input=_per_million(read),
        output=_per_million(write),
        cached_input=None if cached is None else _per_million(cached),
        request=request or 0.0,
        source=Path(file).name,
        as_of=as_of,
    )
    return {(provider, name): Listing(price, int(context) if context else None)}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror or error}). {_FIX}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: is not JSON ({error}). {_FIX}") from error
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: holds a JSON {type(table).__name__}, expected an object of models. {_FIX}")
    return table


def _number(entry: Mapping[str, Any], field: str, where: str) -> float | None:
    value = entry.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{where} has {field}={value!r}, expected a number >= 0. Correct or drop the entry.")
    return value


def _per_million(usd_per_token: float) -> float:
    return round(usd_per_token * 1e6, 9)


def _renew(file: str, source: str, as_of: str, out: str, *known: str) -> None:
    """Writes the table `out` from LiteLLM's `file`, leaving out the rows that the tables `known` have already."""
    listed = {key for path in known for key in parse(Path(path).read_text(encoding="utf-8"))}
    rows = {
        key: replace(listing, price=replace(listing.price, source=source, as_of=as_of))
        for key, listing in read_litellm(file).items()
        if key not in listed and _PACKAGED.fullmatch(key[0]) and not _REGIONAL.match(key[1])
        if max(listing.price.input, listing.price.output) <= _HIGHEST
    }
    Path(out).write_text(format_table(rows, source, as_of), encoding="utf-8")


if __name__ == "__main__":
    _renew(*sys.argv[1:])
