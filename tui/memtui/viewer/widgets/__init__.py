"""Widgets of one purpose each. They are given frozen state to show, and know nothing of the session beyond it."""
