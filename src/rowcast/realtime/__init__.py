"""Realtime: streams, what they ask for, who may see what, and the order in which it leaves.

A change goes `bus -> Hub.dispatch -> audience (judge, encode) -> Stream.push -> Sink`.
One reader task judges changes in commit order; the writer never waits for it.
"""
