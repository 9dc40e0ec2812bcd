"""Benchmarks: each module measures one promise of docs/benchmarks.md, side by side with the peers, in one run."""
