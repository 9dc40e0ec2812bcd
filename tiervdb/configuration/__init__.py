"""One TOML file for library, command line and agent: which databases there are, where, and how they are kept safe."""
