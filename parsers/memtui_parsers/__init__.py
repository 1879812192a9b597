"""Text and bytes in, frozen values out: no processes, no Textual, no psutil."""

__version__ = "0.1.0"
