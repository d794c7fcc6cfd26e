"""Famous networks as short configurations of the one layer."""

from geodl.models.basic import gcn, mlp
from geodl.models.rotated import digits_cnn, digits_p4cnn, p4cnn, z2cnn

__all__ = ["digits_cnn", "digits_p4cnn", "gcn", "mlp", "p4cnn", "z2cnn"]
