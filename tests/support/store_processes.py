"""Programs that use one store from several processes."""

import subprocess
import sys
from pathlib import Path

_PATHS = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "shared")]

_HEAD = f"""
import os, sys
sys.path[:0] = {_PATHS!r}
from frugal_core.cache.entry import Entry
from frugal_core.cache.stores import open_store
store = open_store(sys.argv[1])

def entry(name, answer=""):
    vector = name.encode()[:8].ljust(8)
    return Entry("key-" + name, "partition", "", name + "?", answer or name, "x" * 500, 1.0, vector=vector, embedder="e")

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
"""


def started(program, url, *arguments):
    """A process that runs a program with `store`, `entry(name)` and `say(word)`."""
    command = [sys.executable, "-c", _HEAD + program, str(url), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(process, *words):
    """Send a line to a process and wait for its answer."""
    process.stdin.write(" ".join(words) + "\n")
    process.stdin.flush()
    return process.stdout.readline().split()


def ended(process):
    """What a process still says; it has to end well."""
    said, _ = process.communicate()
    assert process.returncode == 0
    return said.split("\n")[:-1]
