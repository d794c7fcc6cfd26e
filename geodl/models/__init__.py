"""Famous networks as short configurations of the one layer."""

from geodl.layer import EncoderDecoder, FinalState, FromState
from geodl.models.basic import gcn, mlp
from geodl.models.blocks import transformer_decoder, transformer_encoder
from geodl.models.generate import generate
from geodl.models.rotated import digits_cnn, digits_p4cnn, p4cnn, z2cnn
from geodl.models.sequences import (
    captioner,
    char_rnn,
    seq2seq,
    seq2seq_attention,
    sequence_classifier,
    tagger,
    tcn,
)
from geodl.models.transformers import bert, gpt, transformer, vit

__all__ = [
    "EncoderDecoder",
    "FinalState",
    "FromState",
    "bert",
    "captioner",
    "char_rnn",
    "digits_cnn",
    "digits_p4cnn",
    "gcn",
    "generate",
    "gpt",
    "mlp",
    "p4cnn",
    "seq2seq",
    "seq2seq_attention",
    "sequence_classifier",
    "tagger",
    "tcn",
    "transformer",
    "transformer_decoder",
    "transformer_encoder",
    "vit",
    "z2cnn",
]
