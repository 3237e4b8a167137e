"""Neural collapse: exact statistics and metrics, closed-form theory, models, and the experiments of the book."""

from nclib import frames, metrics
from nclib.collect import collect
from nclib.conventions import measure
from nclib.distributed import distributed_sum
from nclib.statistics import ClassStatistics, StatisticsAccumulator

__all__ = ["ClassStatistics", "StatisticsAccumulator", "collect", "distributed_sum", "frames", "measure", "metrics"]
__version__ = "0.1.0"
