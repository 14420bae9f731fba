"""From a sample to an adaptor: candidates, who judges them on held-out rows, and the pipeline that chooses one."""
