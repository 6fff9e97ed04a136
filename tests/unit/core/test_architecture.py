"""What the core must never become: tied to a framework, slow to import, chatty, or unsafe to load."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import frugal_core
from frugal_core.errors import FrugalError

ROOT = Path(frugal_core.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
CORE = [path for path in FILES if "playground" not in path.relative_to(ROOT).parts]
FRAMEWORKS = ("langchain", "llama_index", "langgraph", "langsmith", "openai", "anthropic")
HEAVY = ("numpy", "tiktoken", "torch", "jsonschema", "pandas", "scipy", "sklearn", "rich", "matplotlib")

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, at its top or within a function."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")) and node.args:
            yield ast.unparse(node.args[0]).strip("'\"")


def test_there_is_something_to_check() -> None:
    assert len(CORE) > 15


@every_file
def test_the_core_imports_no_framework_and_neither_plugin(path: Path) -> None:
    banned = (*FRAMEWORKS, "langchain_frugal", "llamaindex_frugal")
    assert [module for module in imports(path) if module.startswith(banned)] == []


@every_file
def test_nothing_is_pickled(path: Path) -> None:
    assert not {module.split(".")[0] for module in imports(path)} & {
        "pickle",
        "cPickle",
        "dill",
        "cloudpickle",
        "joblib",
        "shelve",
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
            assert {word.arg: ast.unparse(word.value) for word in node.keywords}.get("allow_pickle", "False") == "False"


@every_file
def test_no_bare_except_and_none_that_passes_in_silence(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
            broad = ast.unparse(node.type) in ("Exception", "BaseException")
            silent = all(isinstance(statement, ast.Pass) for statement in node.body)
            assert not (broad and silent), f"swallowed exception in line {node.lineno}"


@every_file
def test_nothing_is_printed_but_by_the_command_line(path: Path) -> None:
    if path.name in ("cli.py", "__main__.py"):
        return
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert [node.lineno for node in calls if ast.unparse(node.func) == "print"] == []


@every_file
def test_no_mutable_default_and_no_eval(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            defaults = [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
            assert not any(isinstance(default, ast.List | ast.Dict | ast.Set) for default in defaults), node.lineno
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("eval", "exec"), node.lineno


def modules_after(program: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running a program."""
    code = f"{program}\nimport sys\nsys.stdout.write(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, env=env)
    return set(done.stdout.split())


def test_importing_the_core_is_light() -> None:
    loaded = modules_after("import frugal_core.policies, frugal_core.scorers, frugal_core.engine")
    assert "frugal_core" in loaded
    assert not loaded & {*HEAVY, "langchain_core", "llama_index", "langgraph", "openai", "pydantic", "asyncio.windows_events"}


def test_deciding_is_light_as_well() -> None:
    """A cascade on answers with log-probabilities loads nothing further, unless a schema or a long prompt asks for it."""
    program = """
from frugal_core.engine import drive
from frugal_core.policies import Cascade
from frugal_core.types import Answer, Message, Query, Tier, TokenLogprob
query = Query((Message("user", "hello"),), (Tier("small", context_window=1000), Tier("large")))
said = TokenLogprob("Paris", -0.1, (("Paris", -0.1), ("Rome", -3.0)))
decision = drive(Cascade(threshold=0.5).decide(query), lambda call: Answer("Paris", logprobs=(said,), tier=call.tier))
assert decision.tier == "small"
"""
    assert not modules_after(program) & set(HEAVY)


def exceptions() -> list[type[BaseException]]:
    """Every exception class that a module of the core defines."""
    found = []
    for module in pkgutil.walk_packages([str(ROOT)], "frugal_core."):
        if module.name.endswith("train"):
            continue  # needs torch
        loaded = importlib.import_module(module.name)
        found += [
            value
            for value in vars(loaded).values()
            if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == loaded.__name__
        ]
    return found


def test_there_is_one_tree_of_public_errors() -> None:
    public = [error for error in exceptions() if not error.__name__.startswith("_")]
    assert len(public) >= 6
    assert [error.__name__ for error in public if not issubclass(error, (FrugalError, Warning))] == []


def test_every_error_is_drawn_in_the_tree() -> None:
    import frugal_core.errors as errors

    drawn = errors.__doc__ or ""
    defined = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]
    assert [name for name in defined if name not in drawn] == []
