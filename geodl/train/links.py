"""The task of telling the links of a graph from pairs of nodes that none joins."""

from typing import final

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from geodl.train.graph_examples import Links
from geodl.train.task import Task


@final
class LinkPrediction(Task):
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
        # In double precision: torchmetrics takes the logistic function, which in single precision
        # is 1 from 17 on and would make ties.
        score = scores[:, 1].double()
        self.log(f"{part}/auc", binary_auroc(score, classes), batch_size=len(classes))
        precision = binary_average_precision(score, classes)
        self.log(f"{part}/ap", precision, batch_size=len(classes))
