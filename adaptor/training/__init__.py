"""Training one map on workers: the loop, what it minimises, what feeds it and where it runs. It needs torch."""
