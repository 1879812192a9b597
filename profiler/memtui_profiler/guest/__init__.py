"""Asking a running process: a thread of ours in it, made by one call that undoes itself (DESIGN.md section 8)."""
