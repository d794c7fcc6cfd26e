"""Sentences that the protocols of several recipes share."""

LAST_EPOCH = "weights of the last epoch, nothing selected on the test images"
