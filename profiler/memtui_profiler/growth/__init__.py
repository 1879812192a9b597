"""Which code makes the memory of a running process grow: sampled page faults, of the pages that are still there."""
