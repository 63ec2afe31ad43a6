"""Parts of tools/bench/compare."""
