"""`frugal embedder`: writes embedders in the form that the cache runs fastest."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from frugal_core.errors import ConfigurationError

HELP = "export a sentence-transformers model to ONNX, for embedding without torch and several times as fast"
EPILOG = """\
examples:
  frugal embedder export
  frugal embedder export BAAI/bge-small-en-v1.5 --output bge --precision float32

The export is compared with the original on a few sentences, and written only if their vectors agree. Without --output it goes
where the cache looks by default. In a program: SemanticCache(embed=OnnxEmbedder("bge")).

exit status: 0 when the model was exported, 2 when it cannot be.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    export = actions.add_parser("export", help=HELP, description=HELP, epilog=EPILOG)
    export.formatter_class = argparse.RawDescriptionHelpFormatter
    export.add_argument("model", nargs="?", metavar="MODEL", help="a folder, or a name on the hub (default: all-MiniLM-L6-v2)")
    export.add_argument("--output", type=Path, metavar="DIR", help="where to (default: where the cache looks)")
    export.add_argument(
        "--precision",
        choices=["int8", "float32"],
        default="int8",
        help="of the weights; int8 is faster and differs slightly (default: %(default)s)",
    )


def run(arguments: argparse.Namespace, console: Console, messages: Console) -> int:
    """Export.

    Args:
        arguments: As `configure` declares them.
        console: Where the folder and the agreement go.
        messages: Where it says that it has begun.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: Something is not installed, the model cannot be had or exported, or its vectors differ too much.
    """
    from frugal_core.cache.embedders.default import MODEL, opened_model
    from frugal_core.cache.embedders.onnx_export import default_folder, export

    name = arguments.model or MODEL
    messages.print(f"Exporting {escape(name)} …", highlight=False, soft_wrap=True)
    try:
        model = opened_model(name)
    except ImportError as error:
        raise ConfigurationError(
            f"Exporting needs sentence-transformers ({error}): pip install 'langchain-frugal[embeddings,onnx]' onnx."
        ) from error
    except Exception as error:  # of whatever reads or fetches models
        reason = " ".join(str(error).split())[:300]
        raise ConfigurationError(f"{name} cannot be loaded ({type(error).__name__}: {reason}). Name its folder.") from error
    short = Path(name).resolve().name if Path(name).exists() else name
    done = export(model, arguments.output or default_folder(), name=short, precision=arguments.precision)
    console.print(
        f"{escape(str(done.folder))}: {escape(done.model)} in {done.precision}, {done.bytes / 1e6:.1f} MB, vectors of "
        f"{done.numbers} numbers; agreement with the original (cosine): {done.mean:.4f} on average, {done.least:.4f} at least.",
        highlight=False,
        soft_wrap=True,
    )
    return 0
