"""Parsers: text and bytes in, frozen values out. They look at no process and draw nothing."""

__version__ = "0.1.0"
