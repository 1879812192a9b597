"""From a thread's registers and the top of its stack to the calls that led there. x86-64."""
