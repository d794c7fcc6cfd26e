"""The rules of the house as functions: source text in, violations in words out.

`test_architecture.py` and `test_architecture_density.py` plant a fault in each.
"""
