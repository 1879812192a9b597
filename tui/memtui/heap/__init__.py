"""The Heap tab: what the allocator of the running process says of its memory, beside what the kernel says."""
