"""What superusers manage: collections, and the log of requests."""
