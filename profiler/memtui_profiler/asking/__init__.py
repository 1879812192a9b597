"""Asks a running process: for its allocator's figures, and for what a user's command wants of it.

The words of these modules:
- An AskedProcess is what a question works with: the process's image, memory, allocator and guest thread.
- A question is a function of an AskedProcess. It returns its answer, or raises UserError.
- The Asker is the one thread that puts questions to one process; it makes all ptrace requests.
- The AskScheduler decides when to ask, and writes the rows and events of the answers; it runs in the recorder's loop.
"""
