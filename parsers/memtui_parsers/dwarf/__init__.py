"""Reads DWARF debug information: from an address to its source lines, functions and inlined calls.

It is our own because of time and memory. Lines for 10,000 addresses in 97 MB of C++ DWARF, in CPU seconds and MiB
(FACTS.md, "Symbols"): here 0.9 s and 29 MiB, llvm-symbolizer 0.8 s and 313 MiB, symbolic (PyPI) 1.4 s and 158 MiB,
pyelftools 24 s and 1.2 GiB for the line programs alone, and minutes with DIEs. pyelftools keeps every DIE and row that
it decodes; here the walk skips what cannot answer an address. tests/parsers/dwarf compares the answers with
llvm-symbolizer's and with pyelftools'.
"""
