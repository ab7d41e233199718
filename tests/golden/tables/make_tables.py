"""Writes small Parquet files with pyarrow: python make_tables.py FOLDER"""
import sys
from datetime import datetime, date
from decimal import Decimal
import pyarrow as pa
import pyarrow.parquet as pq

folder = sys.argv[1]
table = pa.table({
    "user": pa.array([7, 8, -9, 2**40], pa.int64()),
    "label": pa.array([1.0, 0.0, None, 0.5], pa.float32()),
    "name": pa.array(["Ana", "Bé", "", "\U0001f600"], pa.string()),
    "country": pa.array(["UK", None, "UK", "FR"], pa.string()),
    "age": pa.array([30, None, 200, 0], pa.uint8()),
    "sold": pa.array([True, False, True, True], pa.bool_()),
    "at": pa.array([datetime(2010, 12, 1, 8, 26), datetime(1970, 1, 1), datetime(1969, 12, 31, 23, 59, 59, 999000), datetime(2024, 2, 29)], pa.timestamp("us")),
    "day": pa.array([date(2010, 12, 1), date(1970, 1, 1), date(1969, 12, 31), date(2024, 2, 29)], pa.date32()),
    "price": pa.array([Decimal("1.50"), Decimal("-0.25"), Decimal("0.00"), Decimal("99.99")], pa.decimal128(4, 2)),
    "half": pa.array([1, -2, 0.5, 65504], pa.float16()),
    "wide": pa.array([1, 2, 3, 2**63], pa.uint64()),
})
pq.write_table(table, f"{folder}/sales.parquet", compression="zstd", row_group_size=3)
pq.write_table(pa.table({"tags": pa.array([[1, 2], [3]]), "id": pa.array([1, 2])}), f"{folder}/nested.parquet")
