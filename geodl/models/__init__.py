"""Famous networks as short configurations of the one layer."""

from geodl.layer import EncoderDecoder, FinalState, FromState
from geodl.models.alexnet import alexnet, small_alexnet, small_zfnet, zfnet
from geodl.models.basic import gcn, mlp
from geodl.models.blocks import transformer_decoder, transformer_encoder
from geodl.models.detr import Detr, detr
from geodl.models.gan import conditional_gan, dcgan, infogan
from geodl.models.gan_losses import adversarial_loss, gradient_penalty
from geodl.models.gan_pair import GAN, Game
from geodl.models.generate import generate
from geodl.models.googlenet import googlenet, small_googlenet
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
from geodl.models.lenet import lenet5
from geodl.models.mobilenet import mobilenet, small_mobilenet
from geodl.models.residual import cifar_resnet, resnet, resnet8
from geodl.models.rotated import (
    digits_cnn,
    digits_p4cnn,
    p4cnn,
    p4cnn_rotation_pooling,
    p4mcnn,
    z2cnn,
)
from geodl.models.sagan import sagan
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
from geodl.models.vgg import small_vgg, vgg
from geodl.models.wavelets import inverse_wavelet_transform, wavelet_transform

__all__ = [
    "GAN",
    "Detr",
    "EncoderDecoder",
    "FinalState",
    "FromState",
    "Game",
    "adversarial_loss",
    "alexnet",
    "appnp",
    "bert",
    "captioner",
    "char_rnn",
    "chebnet",
    "cifar_resnet",
    "cluster_pool",
    "conditional_gan",
    "dcgan",
    "deep_sets",
    "detr",
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
    "googlenet",
    "gps",
    "gps_layer",
    "gpt",
    "gradient_penalty",
    "graph_net",
    "graph_sage",
    "graph_transformer",
    "graph_unet",
    "infogan",
    "inverse_wavelet_transform",
    "jumping_knowledge",
    "lenet5",
    "mean_log_degree",
    "mlp",
    "mobilenet",
    "mpnn",
    "octahedral_cnn",
    "p4cnn",
    "p4cnn_rotation_pooling",
    "p4mcnn",
    "pna",
    "pna_layer",
    "resnet",
    "resnet8",
    "rgcn",
    "rgcn_layer",
    "sagan",
    "sage_layer",
    "seq2seq",
    "seq2seq_attention",
    "sequence_classifier",
    "sfcnn",
    "sgc",
    "small_alexnet",
    "small_googlenet",
    "small_mobilenet",
    "small_vgg",
    "small_zfnet",
    "tagger",
    "tcn",
    "transformer",
    "transformer_decoder",
    "transformer_encoder",
    "vgg",
    "virtual_node",
    "vit",
    "voxel_cnn",
    "wavelet_transform",
    "z2cnn",
    "zfnet",
]
