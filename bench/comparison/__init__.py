"""bench/compare, in parts: the proxies, the load, the rows, and what the table says."""
