"""The `lowerbound` command: a table of verbs over `lowerbound.Fitted`, one short file a group of verbs.

Nothing here imports torch before a verb runs, so that help is instant.
"""

from lowerbound.cli.command import main

__all__ = ["main"]
