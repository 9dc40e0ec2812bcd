"""An embedded, tiered vector database with recovery as a first-class feature."""
