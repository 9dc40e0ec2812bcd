"""The command line: ``tiervdb --help``."""
