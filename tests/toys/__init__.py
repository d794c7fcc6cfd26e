"""A domain and a lowering as somebody else would write them: one file each, and one line to
register it.
"""
