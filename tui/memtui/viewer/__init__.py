"""The Textual application: the only folder that imports Textual or rich."""
