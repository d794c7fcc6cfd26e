"""The task of telling the links of a graph from pairs of nodes that none joins."""

from typing import final

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from geodl.train.cross_entropy import CrossEntropy
from geodl.train.graph_examples import Links


@final
class LinkPrediction(CrossEntropy):
    """Whether a link joins two nodes: the model gives each node i a vector z_i, and the score of a
    pair is `z_i . z_j`, the logit of a link (the graph auto-encoder of Kipf and Welling 2016).

    Beside the loss, the area under the ROC curve and the average precision of all pairs.
    """

    def read(self, batch: Links) -> tuple[Tensor, Tensor]:
        """Scores `[M, 2]` of no link and of a link, and which of them it is.

        Cross-entropy over (0, s) is that of the logistic function of s alone.
        """
        z = self.model(batch.signal).x[0]
        sender, receiver = batch.given.pairs
        score = (z[sender] * z[receiver]).sum(-1)
        return torch.stack((torch.zeros_like(score), score), dim=-1), batch.given.labels

    def judge(self, part: str, batch: Links, scores: Tensor, classes: Tensor) -> None:
        """Log the area under the ROC curve, and the average precision."""
        # Both measures read the order of the scores alone. torchmetrics takes the logistic function
        # of numbers beyond [0, 1], which is 1 from 37 on in double precision and would make ties.
        place = scores[:, 1].unique(return_inverse=True)[1]
        rank = place.double() / len(classes)
        self.log(f"{part}/auc", binary_auroc(rank, classes), batch_size=len(classes))
        precision = binary_average_precision(rank, classes)
        self.log(f"{part}/ap", precision, batch_size=len(classes))
