"""Kernels for CPUs that torch lacks: serial loops over ranges of edges, compiled by numba.

A kernel is a plain Python function over numpy arrays that writes into arrays it is given. numba
(the extra `fast`) turns it into machine code; a lowering that finds numba missing runs on torch's
operations instead, with the same results.
"""
