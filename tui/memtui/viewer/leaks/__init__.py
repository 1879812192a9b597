"""The leak browser: which stacks leak how much, and the source line that does it."""
