"""The core that `langchain_frugal` and `llamaindex_frugal` share. It imports no framework."""

__version__ = "0.1.0"
