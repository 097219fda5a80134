"""Bitcoin: raw block scan, proof of work, addresses, and the adapters of block sources."""
