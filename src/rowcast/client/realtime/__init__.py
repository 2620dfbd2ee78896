"""Realtime: one stream for all subscriptions of a client."""
