"""The allocators: each a module that fulfils base.Allocator."""
