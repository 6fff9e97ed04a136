"""Tiny language models that make demos and tests real without keys or network."""
