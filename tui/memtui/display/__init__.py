"""How values look as text: figures, glyphs, keys."""
