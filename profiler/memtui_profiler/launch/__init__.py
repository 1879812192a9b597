"""Before a target runs: what is possible, the command and environment, and the same for an attach."""
