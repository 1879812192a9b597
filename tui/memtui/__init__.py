"""The command line and the Textual viewer."""

from memtui_parsers import __version__

__all__ = ["__version__"]
