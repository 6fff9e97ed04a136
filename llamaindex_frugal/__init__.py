"""Frugal for LlamaIndex."""
