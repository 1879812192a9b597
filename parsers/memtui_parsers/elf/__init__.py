"""Reads ELF files: image, sections, symbols, facts that matter for a launch, and demangled names."""
