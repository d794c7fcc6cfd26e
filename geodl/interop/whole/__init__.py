"""Imports of whole models: a model is followed, and each of its calls becomes a node of a network.

In the order of the work: `tracing` (or `exporting`) lists the calls, `guesses` says how arguments
are read as signals, `building` converts one call after another, `importing` puts the network
together, and `door` calls it as the original is called. Models on graphs have `pyg_model` and
`graph_door`.
"""
