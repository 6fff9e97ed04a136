"""Every class that can be saved is found again in a process that has imported nothing but the reader."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import frugal_core
from frugal_core.errors import ConfigurationError
from frugal_core.saving import MODULES, decode

ROOT = Path(frugal_core.__file__).parent


def classes() -> Iterator[type]:
    """Every class of the core that can be saved."""
    for module in pkgutil.walk_packages([str(ROOT)], "frugal_core."):
        if module.name.endswith("playground.train"):
            continue  # needs torch
        loaded = importlib.import_module(module.name)
        for value in vars(loaded).values():
            if isinstance(value, type) and value.__module__ == loaded.__name__ and isinstance(vars(value).get("kind"), str):
                yield value


def test_the_table_lists_every_class_that_can_be_saved() -> None:
    found = {vars(each)["kind"]: each.__module__.removeprefix("frugal_core.") for each in classes()}
    assert found == dict(MODULES)


def test_a_fresh_process_finds_each_kind_and_margins_load_no_numpy() -> None:
    """Each kind is read first in a process of its own copy of the modules, so that none finds another's imports."""
    light = [kind for kind, module in MODULES.items() if module.startswith(("policies.", "scorers."))]
    program = f"""
import sys
before, numpy = set(sys.modules), False
from frugal_core.errors import ConfigurationError
for kind in {sorted(MODULES)!r}:
    for name in set(sys.modules) - before:
        if name.startswith("frugal_core"):
            del sys.modules[name]
    from frugal_core import saving
    assert kind not in saving._KINDS, kind
    saving._class(kind)
    assert saving._KINDS[kind].kind == kind
    if kind in {light!r} and "numpy" in sys.modules and not numpy:
        raise SystemExit(kind + " imports numpy")
    numpy = "numpy" in sys.modules
print("done")
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == "done", done.stderr


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"kind": "single", "tier": 0}, "Single"),
        (
            {"kind": "calibration", "method": "logistic", "form": "one_sided", "xs": [0, 1], "ys": [0, 1], "rows": 9},
            "Calibration",
        ),
        (
            {"kind": "logistic", "weights": [1.0], "intercept": 0, "means": [0], "low": [0], "high": [1], "penalty": 1},
            "Logistic",
        ),
    ],
)
def test_a_file_is_read_in_a_process_that_imported_only_the_reader(data: dict[str, object], kind: str, tmp_path: Path) -> None:
    (tmp_path / "saved").write_text(json.dumps({"frugal": 1, "object": data}))
    program = f"from frugal_core.saving import load; print(type(load({str(tmp_path / 'saved')!r})).__name__)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == kind, done.stderr


@pytest.mark.parametrize("kind", ["os", "frugal_core.cli", "..cli", "cli", "", None, 3])
def test_a_file_can_make_nothing_else_be_imported(kind: object) -> None:
    with pytest.raises(ConfigurationError, match="Unknown kind"):
        decode({"kind": kind})
