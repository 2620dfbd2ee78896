"""The HTTP edge: requests in, answers and streams out."""
