"""Turns a dump or a log of a checker into rows of the session, in a process of its own."""
