"""The commands of the command line: each takes its options and returns an exit code."""
