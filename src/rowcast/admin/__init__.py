"""What superusers manage: collections, and later settings, logs and backups."""
