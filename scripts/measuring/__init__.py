"""The benchmarks, a module a family. Nothing in `guest` or `host` may import any of this."""
