"""What a recipe gave: numbers with their protocol, and the paper's number beside them."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from geodl.report import write


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
        return {
            name: {
                "mean": statistics.fmean(v),
                "std": statistics.stdev(v) if len(v) > 1 else 0.0,
                "values": v,
            }
            for name, v in self.values.items()
        }

    def save(self, path: Path) -> None:
        """Write the result as JSON, whole or not at all."""
        kept = {
            name: getattr(self, name)
            for name in ("recipe", "data", "protocol", "paper", "seeds", "metrics")
        }
        kept |= {"seconds": self.seconds, "parameters": self.parameters}
        kept |= {
            name: getattr(self, name) for name in ("search", "examples") if getattr(self, name)
        }
        write(path, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")

    def __str__(self) -> str:
        count = f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"
        lines = [
            (
                f"{self.recipe} on {self.data}: {count}, {self.parameters:,} "
                f"parameters, {self.seconds:.1f} s"
            )
        ]
        lines.append(f"protocol: {self.protocol}")
        if self.search:
            tried = ", ".join(
                f"{lr}: {100 * error:.2f} %" for lr, error in self.search["val/error"].items()
            )
            lines.append(
                f"learning rate {self.search['lr']:g}, the best on the "
                f"validation examples with seed 0 ({tried} error)"
            )
        lines += [_line(name, metric) for name, metric in self.metrics.items()]
        lines += [f"  {example}" for example in self.examples]
        return "\n".join([*lines, f"paper: {self.paper}", f"kept in {self.folder}"])


def _line(name: str, metric: dict[str, Any]) -> str:
    percent = "loss" not in name
    scale, unit, digits = (100, " %", 2) if percent else (1, "", 4)
    mean, std = scale * metric["mean"], scale * metric["std"]
    if len(metric["values"]) == 1:
        return f"  {name:24} {mean:.{digits}f}{unit}"
    each = " ".join(f"{scale * value:.{digits}f}" for value in metric["values"])
    return (
        f"  {name:24} {mean:.{digits}f} +- {std:.{digits}f}{unit} "
        f" (sample standard deviation; {each})"
    )
