"""A session on disk: one folder with an append-only SQLite database, and the logs and dumps of each run."""
