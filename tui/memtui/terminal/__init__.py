"""The terminal as a set of streams: stdout, stderr, hangup."""
