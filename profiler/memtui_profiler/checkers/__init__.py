"""The checkers: each a module with the duties that base.py names."""
