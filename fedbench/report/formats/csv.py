"""The numbers in long form: CSV, one number a line."""

import csv
import io
import math
from collections.abc import Sequence

from fedbench.registry import FORMATS
from fedbench.report.document import Document
from fedbench.report.formats.base import Format

COLUMNS = ("method", "dataset", "protocol", "metric", "mean", "std", "n")


@FORMATS.register("csv")
class Csv(Format):
    """CSV: floats in full precision, empty where missing (std: also for a single seed).

    What the metrics' names mean: `fedbench.report.document.Number`.
    """

    def render(self, documents: Sequence[Document]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for document in documents:
            for x in document.numbers:
                numbers = (_finite(x.value.mean), _finite(x.value.std), x.value.n)
                writer.writerow([x.method, x.dataset, x.protocol, x.metric, *numbers])
        return text.getvalue().encode()


def _finite(number: float) -> float | str:
    return "" if math.isnan(number) else number
