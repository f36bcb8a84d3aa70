"""The options of a script: `--help` shows its docstring, which says what is measured and how."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter


def options(doc: str | None) -> ArgumentParser:
    """A parser that shows the docstring as it was written."""
    return ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
