"""What apply costs, beside what else does the same work, on made data: `docs/performance.md`."""
