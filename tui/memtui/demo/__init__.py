"""The bundled leaky server, and how it comes to be on this machine."""
