"""The inspector: a page at `/_/realtime` that opens a stream and shows what arrives.

The page is plain HTML, CSS and JavaScript beside this file, served as it is. It uses
the public API alone, so it may do what its account may do and nothing else.
"""
