"""Famous networks as short configurations of the one layer."""

from geodl.layer import EncoderDecoder, FinalState, FromState
from geodl.models.basic import gcn, mlp
from geodl.models.blocks import transformer_decoder, transformer_encoder
from geodl.models.generate import generate
from geodl.models.graph_attention import gat, gatv2, graph_transformer
from geodl.models.graph_blocks import deep_sets, gps, gps_layer, jumping_knowledge, virtual_node
from geodl.models.graph_convolutions import (
    appnp,
    chebnet,
    gcnii,
    gcnii_layer,
    graph_sage,
    sage_layer,
    sgc,
)
from geodl.models.graph_edges import (
    edge_conv,
    edge_conv_layer,
    gated_gcn,
    gated_gcn_layer,
    mpnn,
)
from geodl.models.graph_isomorphism import gin, gin_layer, gine, gine_layer
from geodl.models.graph_net import graph_net
from geodl.models.graph_pna import mean_log_degree, pna, pna_layer
from geodl.models.graph_pooling import cluster_pool, graph_unet
from geodl.models.graph_relational import rgcn, rgcn_layer
from geodl.models.residual import resnet8
from geodl.models.rotated import (
    digits_cnn,
    digits_p4cnn,
    p4cnn,
    p4cnn_rotation_pooling,
    p4mcnn,
    z2cnn,
)
from geodl.models.sequences import (
    captioner,
    char_rnn,
    seq2seq,
    seq2seq_attention,
    sequence_classifier,
    tagger,
    tcn,
)
from geodl.models.solids import octahedral_cnn, voxel_cnn
from geodl.models.steerable import sfcnn
from geodl.models.transformers import bert, gpt, transformer, vit
from geodl.models.wavelets import inverse_wavelet_transform, wavelet_transform

__all__ = [
    "EncoderDecoder",
    "FinalState",
    "FromState",
    "appnp",
    "bert",
    "captioner",
    "char_rnn",
    "chebnet",
    "cluster_pool",
    "deep_sets",
    "digits_cnn",
    "digits_p4cnn",
    "edge_conv",
    "edge_conv_layer",
    "gat",
    "gated_gcn",
    "gated_gcn_layer",
    "gatv2",
    "gcn",
    "gcnii",
    "gcnii_layer",
    "generate",
    "gin",
    "gin_layer",
    "gine",
    "gine_layer",
    "gps",
    "gps_layer",
    "gpt",
    "graph_net",
    "graph_sage",
    "graph_transformer",
    "graph_unet",
    "inverse_wavelet_transform",
    "jumping_knowledge",
    "mean_log_degree",
    "mlp",
    "mpnn",
    "octahedral_cnn",
    "p4cnn",
    "p4cnn_rotation_pooling",
    "p4mcnn",
    "pna",
    "pna_layer",
    "resnet8",
    "rgcn",
    "rgcn_layer",
    "sage_layer",
    "seq2seq",
    "seq2seq_attention",
    "sequence_classifier",
    "sfcnn",
    "sgc",
    "tagger",
    "tcn",
    "transformer",
    "transformer_decoder",
    "transformer_encoder",
    "virtual_node",
    "vit",
    "voxel_cnn",
    "wavelet_transform",
    "z2cnn",
]
