"""A session on disk: one folder, one append-only SQLite database, and the logs and dumps of each run."""
