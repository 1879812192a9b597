"""A process read from outside: samples, mappings, limits, descendants; and what a thread of our own needs of the system."""
