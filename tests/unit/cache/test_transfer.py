import json

import pytest

from caching import ask, cache, filled
from frugal_core.cache import cache_options
from frugal_core.cache.stores import MemoryStore
from frugal_core.cache.transfer import export, import_
from frugal_core.cli import main
from frugal_core.errors import ConfigurationError, RecordingsError

TEXT = "Was kostet ein Päckchen nach Wien? ☃"


def store(*texts, **settings):
    own = MemoryStore()
    filled(cache(own), *texts, **settings)
    return own


def test_entries_arrive_as_they_left(tmp_path):
    with cache_options(tags=["prices"], documents=["d1"], ttl_s=3600):
        before = store(TEXT, "another question")
    assert export(before, tmp_path / "c.jsonl") == 2
    after = MemoryStore()
    assert import_(after, tmp_path / "c.jsonl") == (2, 0)
    assert {entry.key: entry for entry in after.scan()} == {entry.key: entry for entry in before.scan()}
    assert cache(after).lookup(ask(f"{TEXT} bitte")).hit.entry.question == TEXT


def test_expired_entries_stay_behind(tmp_path):
    path = tmp_path / "c.jsonl"
    export(store("one"), path)
    row = json.loads(path.read_text())
    path.write_text(json.dumps({**row, "expires_s": 1.0}))
    assert import_(MemoryStore(), path) == (0, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "row 2: is no entry of format 1"),
        ('{"format": 1, "vector": "%%%"}', "row 2: is no entry"),
        ('{"format": 1, "vector": "", "key": "k"}', "row 2: is no entry"),
        ('{"format": 1, "vector": 3}', "row 2: is no entry"),
        ("nothing", "row 2: is not JSON"),
    ],
)
def test_a_broken_file_changes_nothing(tmp_path, line, message):
    path = tmp_path / "c.jsonl"
    export(store("one"), path)
    path.write_text(path.read_text() + line + "\n")
    own = MemoryStore()
    with pytest.raises(RecordingsError, match=message):
        import_(own, path)
    assert own.size().entries == 0


def test_a_failed_export_leaves_what_was_there(tmp_path):
    class Failing(MemoryStore):
        def scan(self):
            yield from super().scan()
            raise OSError("gone")

    path, own = tmp_path / "c.jsonl", Failing()
    path.write_text("before")
    filled(cache(own), "one")
    with pytest.raises(ConfigurationError, match="gone"):
        export(own, path)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["before"]


def called(capsys, *arguments):
    status = main(["cache", *map(str, arguments)])
    printed, err = capsys.readouterr()
    return status, " ".join(printed.split()), " ".join(err.split())


def test_the_command_line_looks_after_a_store(capsys, tmp_path):
    url, other = f"disk:{tmp_path / 'one'}", f"disk:{tmp_path / 'other'}"
    with cache(url) as own:
        filled(own, "one", "two")
        filled(own, "three", namespace="tenant")
    status, printed, _ = called(capsys, "stats", url)
    assert status == 0
    assert "3 entries" in printed
    assert "tenant" in printed
    assert called(capsys, "export", url, tmp_path / "c.jsonl")[1].startswith("3 entries written")
    assert called(capsys, "import", tmp_path / "c.jsonl", other)[1] == "3 entries stored."
    assert called(capsys, "clear", other, "--namespace", "tenant")[1] == "1 entries removed."
    assert called(capsys, "clear", other)[1].startswith("2 entries removed")
    with cache(url) as own:
        assert own.lookup(ask("three", namespace="tenant")).hit


@pytest.mark.parametrize("action", [["stats"], ["clear"]])
def test_a_store_that_is_not_there_is_not_made(capsys, tmp_path, action):
    status, _, err = called(capsys, *action, f"disk:{tmp_path / 'none'}")
    assert status == 2
    assert "there is no cache" in err
    assert not (tmp_path / "none").exists()


def test_what_is_no_store_is_refused(capsys, tmp_path):
    status, _, err = called(capsys, "stats", "file:x")
    assert status == 2
    assert "names no store" in err
