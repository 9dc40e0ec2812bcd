"""The contestants: tiervdb, raw hnswlib, LanceDB and Chroma, each behind the same few functions."""
