"""The rules of the house as functions: source text in, violations in words out.

`test_architecture.py` plants a fault in each.
"""
