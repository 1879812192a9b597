"""A program before it runs: its file, its facts, the libraries that it would load."""
