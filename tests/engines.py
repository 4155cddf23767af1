"The same small table in every engine: what an audit is given must not change what it says"
import atexit
import shutil
import warnings
from functools import cache

import duckdb
import pandas as pd
import polars as pl
import pytest


def in_arrow(table): return pl.DataFrame(table).to_arrow()
def in_duckdb(table): return duckdb.connect().from_arrow(in_arrow(table))
def in_pandas(table): return pl.DataFrame(table).to_pandas()
def objects(table):
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in table.items()})


def categories(table):
    frame = pl.DataFrame(table)
    return frame.with_columns(frame.select(pl.col(pl.String)).cast(pl.Categorical)).to_pandas()


def in_dask(table):
    why = "dask is not installed; `pip install 'dask[dataframe]'` runs this"
    dask = pytest.importorskip('dask.dataframe', reason=why)
    return dask.from_pandas(in_pandas(table), npartitions=2)


@cache
def spark():
    "The one Spark session of this process: it starts with the first test that wants it"
    sql = pytest.importorskip('pyspark.sql',
                              reason="pyspark is not installed; `pip install pyspark` runs this")
    if not shutil.which('java'): pytest.skip("Spark needs Java, which is not on the PATH")
    quick = {'spark.ui.enabled': 'false', 'spark.sql.shuffle.partitions': '1',
             'spark.sql.codegen.wholeStage': 'false', 'spark.sql.adaptive.enabled': 'false'}
    session = sql.SparkSession.builder.master('local[1]').config(map=quick).getOrCreate()
    atexit.register(session.stop)
    return session


def in_spark(table):
    rows = list(zip(*table.values(), strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return spark().createDataFrame(rows, list(table))


ENGINES = dict(  # Engine → a function of a dict of columns
    dict=dict, polars=pl.DataFrame, lazy=lambda t: pl.DataFrame(t).lazy(), arrow=in_arrow,
    pandas=in_pandas, objects=objects, categories=categories, duckdb=in_duckdb)
CLUSTERS = dict(dask=in_dask, spark=in_spark)  # They take seconds to start, or are not installed
SPARK = [pytest.mark.xdist_group('spark'), pytest.mark.slow] # One worker starts it, once
EVERY = [*ENGINES, 'dask', pytest.param('spark', marks=SPARK)]


def on_spark(test):
    "The same test, for the worker that starts Spark"
    for mark in SPARK: test = mark(test)
    return test


def in_engine(name, table):
    "A dict of columns in one engine, by name; skips where the engine is not here"
    return (ENGINES | CLUSTERS)[name](table)


def everywhere(table):
    "The table in each of the engines that are always here: name → frame"
    return {name: make(table) for name, make in ENGINES.items()}


def in_files(table, folder):
    "The table as a CSV and as a Parquet file"
    frame, paths = pl.DataFrame(table), [folder/'table.csv', folder/'table.parquet']
    frame.write_csv(paths[0])
    frame.write_parquet(paths[1])
    return paths


def every_engine():
    "A test of `engine`, once for each: `@every_engine()`"
    return pytest.mark.parametrize('engine', EVERY)
