"""From an address in a module to function, file and line."""
