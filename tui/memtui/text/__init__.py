"""Session and reports as lines of text, for pipes and CI."""
