"""Acts on the target: launches, samples, asks and records it. No Textual."""
