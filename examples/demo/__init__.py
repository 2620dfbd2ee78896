"""A sample data set to look at: `make demo`."""
