"""The guest: a thread of memtui in the target that calls functions for it, made by one call that undoes itself."""
