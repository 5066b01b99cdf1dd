"""The peer of `hb-bench ingest`: Polars, one thread, scans JSON lines and groups by series and span of time.

It does less than hb does: no order, no lateness, no baseline, no decision, nothing made durable. Prints one JSON object per query, the best of
three: groups of 10 s with the figures that hb keeps (as long as hb's cycles), and groups of 1 s with count, mean and deviation.
"""
import json
import os
import resource
import sys
import time

os.environ["POLARS_MAX_THREADS"] = "1"
import polars as pl


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def query(path, seconds, figures):
    span = (pl.col("ts") / seconds).floor().cast(pl.Int64).alias("span")
    return pl.scan_ndjson(path).group_by("metric", span).agg(**figures).collect(engine="streaming")


value = pl.col("value")
short = {"n": value.count(), "mean": value.mean(), "sd": value.std()}
full = {**short, "low": value.min(), "high": value.max()}
assert pl.thread_pool_size() == 1, "one thread was asked for"
for groups, seconds, figures in (("10s", 10, full), ("1s", 1, short)):
    best = None
    for _ in range(3):
        wall_before, cpu_before = time.perf_counter(), cpu()
        table = query(sys.argv[1], seconds, figures)
        cost = {"cpu": cpu() - cpu_before, "wall": time.perf_counter() - wall_before}
        if best is None or cost["cpu"] < best["cpu"]:
            best = {"groups": groups, "lines": int(table["n"].sum()), **cost, "version": pl.__version__}
    print(json.dumps(best))
