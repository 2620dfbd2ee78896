"""Collections, their fields and records as pure values: no I/O, no SQL execution."""
