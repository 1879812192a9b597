"""Parses the statistics that allocators print: tcmalloc's text, and the XML of glibc's malloc_info."""
