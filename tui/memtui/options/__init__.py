"""From the command line's words to a frozen request."""
