"""The peer of `hb-bench ingest`: Polars, one thread, scans JSON lines and groups by series and 10 s cycle.

It does less than hb does: no order, no lateness, no baseline, no decision, nothing made durable. Prints one JSON object with what the
query cost, the start of the interpreter and the import left out.
"""
import json
import resource
import sys
import time

import polars as pl


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


assert pl.thread_pool_size() == 1, "set POLARS_MAX_THREADS=1"
wall_before, cpu_before = time.perf_counter(), cpu()
cycle = (pl.col("ts") / 10).floor().cast(pl.Int64).alias("cycle")
value = pl.col("value")
table = (
    pl.scan_ndjson(sys.argv[1])
    .group_by("metric", cycle)
    .agg(n=value.count(), mean=value.mean(), sd=value.std(), low=value.min(), high=value.max())
    .collect()
)
print(
    json.dumps(
        {
            "lines": int(table["n"].sum()),
            "cpu": cpu() - cpu_before,
            "wall": time.perf_counter() - wall_before,
            "version": pl.__version__,
        }
    )
)
