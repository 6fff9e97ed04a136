"""The README's Python examples run, in order, as a newcomer would paste them."""

import re
from pathlib import Path

import pytest
from llama_index.core.instrumentation import get_dispatcher

from encoders import minilm
from frugal_core.cli import main

README = Path(__file__).parents[2] / "README.md"


def blocks() -> list[str]:
    found = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [block for block in found if "openai:" not in block]


@pytest.mark.filterwarnings("ignore::frugal_core.errors.FrugalWarning")
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # LlamaIndex's agents look at all members
def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))  # the cache's embedder, where a user would have it
    assert main(["embedder", "export", str(minilm())]) == 0
    monkeypatch.setattr(get_dispatcher(), "event_handlers", list(get_dispatcher().event_handlers))
    examples = blocks()
    assert len(examples) >= 6
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, str(README), "exec"), names)
    assert "playground-" in capsys.readouterr().out
