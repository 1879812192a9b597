"""From recorded figures to a verdict with its evidence and an action."""
