"""A report as a table: filter, group, sort, tree, icicle. Pure functions and values, no widgets."""
