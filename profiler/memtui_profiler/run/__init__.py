"""One run of the target: its process, its output, its samples and reports, how it is stopped, and how it ended."""
