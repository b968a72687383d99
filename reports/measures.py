"""How metrics are named, and which way they improve; nothing here computes one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """What a table says of a metric."""

    short: str  # in a heading
    name: str  # in a footnote
    falls: bool = False  # lower is better


METRICS = {  # by name in records
    "accuracy": Measure("Acc", "accuracy"),
    "accuracy_matched": Measure("m", "accuracy on the matched rows"),
    "accuracy_mismatched": Measure("mm", "accuracy on the mismatched rows"),
    "f1": Measure("F1", "F1 of the positive class"),
    "matthews": Measure("Mcc", "Matthews correlation"),
    "pearson": Measure("Pear", "Pearson correlation"),
    "spearman": Measure("Spear", "Spearman correlation"),
    "BLEU": Measure("BLEU", "precision of up to 4-grams"),
    "NIST": Measure("NIST", "matches of up to 5-grams, rare ones weighing more"),
    "METEOR": Measure("MET", "METEOR 1.5"),
    "ROUGE_L": Measure("ROUGE-L", "F of the longest common subsequence"),
    "CIDEr": Measure("CIDEr", "tf-idf likeness to the references"),
    "TER": Measure("TER↓", "translation edit rate", falls=True),
    "loss": Measure("Loss↓", "mean cross-entropy in nats a token", falls=True),
}
PARTS = {  # what stands behind a metric's name: (in a heading, in a footnote)
    "unseen": ("U", "unseen categories"),
    "seen": ("S", "seen categories"),
    "": ("A", "all categories"),
}
MEAN = "mean"  # of the parts of a composite task, as its records name it
PERCENT = (100.0, 1)  # factor and decimals of a metric that has no unit of its own


def measure(metric: str) -> Measure:
    """What is known of `metric`, whatever part of the data it is of; else its name."""
    base, _ = parted(metric)
    return METRICS.get(base, Measure(base, base))


def short(metric: str) -> str:
    """How a heading writes `metric`; a name that is not known stands as it is."""
    return METRICS[metric].short if metric in METRICS else metric


def parted(metric: str) -> tuple[str, str]:
    """A metric and the part of the data it is of: ("BLEU", "seen"); "" is all."""
    base, _, part = metric.rpartition("_")
    return (base, part) if part and part in PARTS else (metric, "")
