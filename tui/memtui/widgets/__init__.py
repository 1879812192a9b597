"""Widgets of one purpose each: they are handed frozen state and hold no model."""
