"""Training one map on workers: the loop, what it minimises, what feeds it and where it runs. It needs torch."""

import os

# Torch's OpenMP threads spin while they wait: so long by default that beside Spark, or another worker on
# the same cores, training takes ten times as long. It is read when torch loads, which every module here does.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
