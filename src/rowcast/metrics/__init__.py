"""What an operator's tools read: the numbers of this process in the format of Prometheus.

The parts count in plain numbers (`tallies`); this package gives them names when
somebody asks. Only `app` makes one, and only where the operator wants it; without it
nothing here is imported and nothing is measured that costs time.
"""
