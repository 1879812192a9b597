"""The memory graph: pure modules that turn a series into cells, and the widget that repaints the cells that changed."""
