"""Works on a LeakReport as a value: ids of leaks, differences, JSON, suppressions."""
