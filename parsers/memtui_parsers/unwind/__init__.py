"""Call frame information: how to get from a function's registers to those of its caller."""
