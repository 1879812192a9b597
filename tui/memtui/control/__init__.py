"""What the user asks of the recorder: commands sent, and the mode and rate chosen but not yet applied."""
