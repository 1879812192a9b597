"""Source lines of frames: where they come from, and the kinds of their words."""
