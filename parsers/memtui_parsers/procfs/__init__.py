"""Parses files of /proc and of cgroups: texts in, values out. The callers open the files."""
