"""What the tabs show: output, events and runs."""
