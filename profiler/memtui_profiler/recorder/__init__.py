"""The recorder: its loop, its commands, its control socket, and how it is started."""
