"""The Heap tab: the figures of the allocator in the running process, beside those of the kernel."""
