"""What a recipe gave: numbers with their protocol, and the paper's number beside them."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from geodl.files import write_json


@final
@dataclass(frozen=True)
class Result:
    """The numbers of a recipe over its seeds.

    Args:
        recipe: its name.
        data: the data set.
        protocol: what was learnt from, selected by and reported on, with every option that matters.
        paper: the published number.
        seeds: the seeds.
        values: each metric's value for each seed; accuracies and errors are fractions.
        seconds: training and testing, all seeds; of one that was continued, since it was.
        parameters: numbers in all parameters of the network.
        search: the learning rate taken and the validation error of each that was tried; empty
            without a search.
        examples: of sequences that were written, some, those of the first seed.
        folder: the run folder.
    """

    recipe: str
    data: str
    protocol: str
    paper: str
    seeds: tuple[int, ...]
    values: dict[str, list[float]]
    seconds: float
    parameters: int
    search: dict[str, Any]
    examples: tuple[str, ...]
    folder: Path

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Mean, sample standard deviation (n - 1; 0 for one seed) and values of each metric."""
        metrics = {}
        for name, values in self.values.items():
            std = statistics.stdev(values) if len(values) > 1 else 0.0
            metrics[name] = {"mean": statistics.fmean(values), "std": std, "values": values}
        return metrics

    def save(self, path: Path) -> None:
        """Write the result as JSON, whole or not at all.

        Raises:
            GeodlError: if the file cannot be written.
        """
        fields = {
            "recipe": self.recipe,
            "data": self.data,
            "protocol": self.protocol,
            "paper": self.paper,
            "seeds": self.seeds,
            "metrics": self.metrics,
            "seconds": self.seconds,
            "parameters": self.parameters,
        }
        if self.search:
            fields["search"] = self.search
        if self.examples:
            fields["examples"] = self.examples
        write_json(path, fields)

    def __str__(self) -> str:
        count = f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"
        size = f"{self.parameters:,} parameters, {self.seconds:.1f} s"
        lines = [f"{self.recipe} on {self.data}: {count}, {size}", f"protocol: {self.protocol}"]
        if self.search:
            lines.append(self._searched())
        lines += [_line(name, metric) for name, metric in self.metrics.items()]
        lines += [f"  {example}" for example in self.examples]
        return "\n".join([*lines, f"paper: {self.paper}", f"kept in {self.folder}"])

    def _searched(self) -> str:
        errors = self.search["val/error"].items()
        tried = ", ".join(f"{lr}: {100 * error:.2f} %" for lr, error in errors)
        best = f"learning rate {self.search['lr']:g}"
        return f"{best}, the best on the validation examples with seed 0 ({tried} error)"


def _line(name: str, metric: dict[str, Any]) -> str:
    """One metric for a terminal: losses in nats and distances as they are, all else in percent."""
    scale, unit, digits = 100, " %", 2
    if "loss" in name or "frechet" in name:
        scale, unit, digits = 1, "", 4
    mean = f"{scale * metric['mean']:.{digits}f}"
    if len(metric["values"]) == 1:
        return f"  {name:24} {mean}{unit}"
    each = " ".join(f"{scale * value:.{digits}f}" for value in metric["values"])
    std = f"{scale * metric['std']:.{digits}f}"
    return f"  {name:24} {mean} +- {std}{unit}  (sample standard deviation; {each})"
