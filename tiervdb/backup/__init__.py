"""The repository: backups, the archived log, restores."""
