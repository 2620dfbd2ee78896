"""Making small pictures of large ones, where what is wrong with them can do no harm.

Pictures come from strangers, and decoders are large. So the work is done by
processes of its own (`worker`), bounded in memory, pixels and time, which the
`workshop` starts, gives work and ends.
"""
