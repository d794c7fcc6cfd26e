"""What to use here in place of modules of torch.nn that have no converter."""

from torch import nn

from geodl.interop.pointwise import is_pointwise

# The first entry whose types fit counts.
INSTEAD: tuple[tuple[tuple[type[nn.Module], ...], str], ...] = (
    (
        (nn.modules.batchnorm._BatchNorm,),
        "use g.BatchNorm(channels), and load weight, bias and running statistics into it",
    ),
    (
        (nn.modules.pooling._MaxPoolNd,),
        'use g.Pool(g.window(size, stride=stride, padding=padding), "max")',
    ),
    (
        (nn.modules.pooling._AvgPoolNd,),
        'use g.Pool(g.window(size, stride=stride), "mean"), which counts no padding',
    ),
    (
        (nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd),
        'use g.Readout("mean") or g.Readout("max") for one node, else g.Pool(g.window(...))',
    ),
    ((nn.Flatten, nn.Unflatten), "a signal [B, N, C] needs none: end in g.Readout()"),
    ((nn.Embedding,), "use g.Embedding(count, channels), and load the weight into it"),
    ((nn.RNNCellBase,), "use g.Recurrent(channels, hidden), and its step for one node at a time"),
    (
        (nn.modules.dropout._DropoutNd,),
        "use g.Dropout(p), which drops numbers and not whole channels",
    ),
)


def advice_for(module: nn.Module) -> str:
    """What to use in place of a module; "" where nothing is known."""
    if is_pointwise(module):
        return "a pointwise module needs no conversion: put it into a g.Sequential as it is"
    for kinds, advice in INSTEAD:
        if isinstance(module, kinds):
            return advice
    return ""
