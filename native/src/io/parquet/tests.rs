//! Tests of the job "parquet" on files that the same crate wrote.

use super::*;
use ::parquet::basic::Compression;
use ::parquet::data_type::{
    BoolType, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType,
    Int32Type, Int64Type,
};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

const SCHEMA: &str = "message sales {
    required int64 user; required float price; optional double age;
    optional binary name (UTF8); required boolean sold; optional int64 at (TIMESTAMP_MICROS);
    required int32 day (DATE); required fixed_len_byte_array(2) total (DECIMAL(4,2));
    required binary when (UTF8); optional int32 small (INT_8);
}";

/// Two row groups of three rows, nulls in the second row of each.
fn sales(compression: Compression) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("toro_{}_{number}.parquet", std::process::id()));
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    let file = File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    for _ in 0..2 {
        let mut group = writer.next_row_group().unwrap();
        macro_rules! column {
            ($kind:ty, $values:expr, $levels:expr) => {
                let mut column = group.next_column().unwrap().unwrap();
                column
                    .typed::<$kind>()
                    .write_batch(&$values, $levels, None)
                    .unwrap();
                column.close().unwrap();
            };
        }
        let holes: Option<&[i16]> = Some(&[1, 0, 1]);
        let text =
            |texts: &[&str]| -> Vec<ByteArray> { texts.iter().map(|t| (*t).into()).collect() };
        column!(Int64Type, [7, 8, -9], None);
        column!(FloatType, [0.5f32, 1.5, 2.0], None);
        column!(DoubleType, [30.0, 40.5], holes);
        column!(ByteArrayType, text(&["Ana", "Bé"]), holes);
        column!(BoolType, [true, false, true], None);
        column!(Int64Type, [1_500i64, -1], holes);
        column!(Int32Type, [0, 1, -1], None);
        let decimal = |v: i16| FixedLenByteArray::from(v.to_be_bytes().to_vec());
        column!(
            FixedLenByteArrayType,
            [decimal(150), decimal(-25), decimal(0)],
            None
        );
        column!(
            ByteArrayType,
            text(&["1970-01-02", "1970-01-01 00:00:01", "1970-01-01"]),
            None
        );
        column!(Int32Type, [1, -1], holes);
        group.close().unwrap();
    }
    writer.close().unwrap();
    path
}

fn ask(columns: Value) -> Result<JobOutput, String> {
    let path = sales(Compression::SNAPPY);
    let result = read(&json!({ "path": path, "columns": columns }));
    std::fs::remove_file(&path).unwrap();
    result.map_err(|error| error.replace(path.to_str().unwrap(), "FILE"))
}

fn int64s(bytes: &[u8]) -> Vec<i64> {
    bytes
        .chunks(8)
        .map(|eight| i64::from_le_bytes(eight.try_into().unwrap()))
        .collect()
}

fn float64s(bytes: &[u8]) -> Vec<f64> {
    bytes
        .chunks(8)
        .map(|eight| f64::from_le_bytes(eight.try_into().unwrap()))
        .collect()
}

#[test]
fn columns_come_in_the_order_and_type_asked_for() {
    let output = ask(json!([
        { "name": "price", "dtype": "float64" }, { "name": "user", "dtype": "int32" },
        { "name": "sold" }, { "name": "total" }, { "name": "user", "dtype": "number" },
    ]))
    .unwrap();
    assert_eq!(output.json["rows"], 6);
    assert_eq!(float64s(&output.buffers[0])[..3], [0.5, 1.5, 2.0]);
    assert_eq!(output.buffers[1][..4], [7, 0, 0, 0]);
    assert_eq!(output.buffers[2], [1, 0, 1, 1, 0, 1]);
    assert_eq!(float64s(&output.buffers[3])[..3], [1.5, -0.25, 0.0]);
    assert_eq!(output.json["columns"][4]["dtype"], "int64");
    assert_eq!(int64s(&output.buffers[4]), [7, 8, -9, 7, 8, -9]);
}

#[test]
fn times_are_milliseconds() {
    let output = ask(json!([
        { "name": "at", "fill": 0 }, { "name": "day" }, { "name": "when", "dtype": "timestamp" },
    ]))
    .unwrap();
    assert_eq!(int64s(&output.buffers[0])[..3], [1, 0, -1]);
    assert_eq!(
        int64s(&output.buffers[1])[..3],
        [0, 86_400_000, -86_400_000]
    );
    assert_eq!(int64s(&output.buffers[2])[..3], [86_400_000, 1000, 0]);
    let error = ask(json!([{ "name": "user", "dtype": "timestamp" }])).unwrap_err();
    assert!(error.contains("int64, not dates"), "{error}");
}

#[test]
fn nulls_follow_the_rule() {
    let output = ask(json!([
        { "name": "age" }, { "name": "name", "fill": "?" }, { "name": "small", "mask": true },
    ]))
    .unwrap();
    assert!(float64s(&output.buffers[0])[1].is_nan());
    assert_eq!(output.buffers[2], "Ana?BéAna?Bé".as_bytes());
    assert_eq!(output.buffers[3], [1, 0, 255, 1, 0, 255]);
    assert_eq!(output.buffers[4], [1, 0, 1, 1, 0, 1]);
    let error = ask(json!([{ "name": "small", "dtype": "int64" }])).unwrap_err();
    assert!(
        error.starts_with("Cannot read column \"small\" of FILE as int64: row 1 holds nothing"),
        "{error}"
    );
}

#[test]
fn wrong_casts_are_named() {
    let refuse = |columns| ask(columns).unwrap_err();
    assert_eq!(
        refuse(json!([{ "name": "price", "dtype": "int64" }])),
        "Cannot read column \"price\" of FILE as int64: row 0 holds 0.5, and int64 takes whole numbers"
    );
    assert_eq!(
        refuse(json!([{ "name": "name", "dtype": "float32" }])),
        "Cannot read column \"name\" of FILE as float32: row 0 holds the text \"Ana\""
    );
    assert!(refuse(json!([{ "name": "user", "dtype": "uint8" }])).contains("row 2 holds -9"));
    assert!(refuse(json!([{ "name": "user", "dtype": "string" }])).contains("not strings"));
    assert!(refuse(json!([{ "name": "name", "dtype": "number" }])).contains("promises numbers"));
    assert!(refuse(json!([{ "name": "nix" }])).contains("the file has \"user\", \"price\""));
}

#[test]
fn every_compression_is_read() {
    use ::parquet::basic::{BrotliLevel, GzipLevel, ZstdLevel};
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        Compression::BROTLI(BrotliLevel::default()),
    ] {
        let path = sales(compression);
        let output = read(&json!({ "path": path, "columns": [{ "name": "user" }] })).unwrap();
        assert_eq!(int64s(&output.buffers[0])[..3], [7, 8, -9]);
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn damaged_files_are_errors() {
    let path = sales(Compression::SNAPPY);
    let whole = std::fs::read(&path).unwrap();
    let request =
        json!({ "path": path, "columns": [{ "name": "user" }, { "name": "name", "fill": "" }] });
    let job = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        crate::io::run("parquet", &request, 1)
    };
    assert!(job(b"").unwrap_err().contains("not a Parquet file"));
    assert!(
        job(b"a,b\n1,2\n")
            .unwrap_err()
            .contains("not a Parquet file")
    );
    for length in (4..whole.len()).step_by(97) {
        assert!(
            job(&whole[..length]).unwrap_err().contains("damaged"),
            "{length}"
        );
    }
    // One wrong byte anywhere may go unseen, but never ends the process.
    let mut seen = 0;
    for at in 4..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        seen += job(&bytes).is_err() as usize;
    }
    assert!(seen > 0);
    std::fs::remove_file(&path).unwrap();
    let error = crate::io::run("parquet", &request, 1).unwrap_err();
    assert!(error.contains("there is no such file"), "{error}");
}

#[test]
fn halves_become_floats() {
    for (bits, value) in [
        (0x3c00, 1.0),
        (0xc000, -2.0),
        (0x7bff, 65504.0),
        (0x0001, 5.9604645e-8),
    ] {
        assert_eq!(half_to_float(bits), value);
    }
    assert!(half_to_float(0x7e00).is_nan());
    assert_eq!(half_to_float(0xfc00), f32::NEG_INFINITY);
}
