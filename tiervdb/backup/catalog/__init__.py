"""The catalog: tables about a repository, derived from its documents and queried with DuckDB."""
