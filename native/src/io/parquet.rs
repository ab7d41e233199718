//! The job "parquet": flat columns of a Parquet file as typed buffers, one thread per column.
//! Request `{path, columns}`; rows in messages count from 0.

use super::column::{Builder, Dtype, Spec, Wanted, answer, locate, quoted, specs};
use super::time::timestamp;
use super::{JobOutput, path_of, reason};
use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, DataType};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;
use serde_json::Value;
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Values decoded at a time: small enough to stay in the second-level cache.
const BATCH: usize = 8192;

pub fn read(request: &Value) -> Result<JobOutput, String> {
    let path = path_of(request)?;
    let file = open(path)?;
    let schema = file.metadata().file_metadata().schema_descr_ptr();
    let names: Vec<String> = schema
        .columns()
        .iter()
        .map(|leaf| leaf.path().string())
        .collect();
    let all = || {
        let own = |name: &String| Spec {
            name: name.clone(),
            wanted: Wanted::Own,
            fill: None,
            mask: false,
        };
        names.iter().map(own).collect()
    };
    let specs: Vec<Spec> = specs(request)?.unwrap_or_else(all);
    // A list column has leaves named "a.list.element"; asked for as "a" it gets its own message.
    for spec in &specs {
        let nested = |name: &String| name.starts_with(&format!("{}.", spec.name));
        if !names.contains(&spec.name)
            && let Some(leaf) = names.iter().find(|name| nested(name))
        {
            return Err(format!(
                "Cannot read column \"{}\" of {path}: it is nested ({leaf}), and only flat columns are read",
                spec.name
            ));
        }
    }
    let leaves = locate(path, &names, &specs)?;
    let mut rows = 0usize;
    for group in file.metadata().row_groups() {
        rows = usize::try_from(group.num_rows())
            .ok()
            .and_then(|more| rows.checked_add(more))
            .ok_or_else(|| damaged(path, "its row count is out of range"))?;
    }

    // Workers take columns from a shared counter; each opens the file on its own.
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(specs.len());
    let work = || -> Result<Vec<(usize, Builder)>, (usize, String)> {
        let mut made = Vec::new();
        let mut own: Option<SerializedFileReader<File>> = None;
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= specs.len() {
                return Ok(made);
            }
            let reader = match &mut own {
                Some(reader) => reader,
                None => own.insert(open(path).map_err(|error| (place, error))?),
            };
            let column = read_column(path, reader, leaves[place], &specs[place], rows);
            made.push((place, column.map_err(|error| (place, error))?));
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (1..workers.max(1)).map(|_| scope.spawn(work)).collect();
        let mut results = vec![work()];
        for handle in handles {
            match handle.join() {
                Ok(result) => results.push(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    // Of several failing columns the first of the request is told.
    if let Some((_, error)) = results
        .iter()
        .filter_map(|result| result.as_ref().err())
        .min_by_key(|error| error.0)
    {
        return Err(error.clone());
    }
    let mut columns: Vec<(usize, Builder)> = results.into_iter().flatten().flatten().collect();
    columns.sort_by_key(|(place, _)| *place);
    Ok(answer(
        rows,
        columns.into_iter().map(|(_, column)| column).collect(),
    ))
}

fn open(path: &str) -> Result<SerializedFileReader<File>, String> {
    let fail = |error: std::io::Error| format!("Cannot read {path}: {}", reason(&error));
    let mut file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(format!("Cannot read {path}: it is a directory"));
    }
    let mut head = [0u8; 4];
    let read = std::io::Read::read(&mut file, &mut head).map_err(fail)?;
    if read < 4 || !(head == *b"PAR1" || head == *b"PARE") {
        return Err(format!(
            "Cannot read {path}: it is not a Parquet file, which begins with PAR1"
        ));
    }
    if head == *b"PARE" {
        return Err(format!(
            "Cannot read {path}: it is encrypted, and encrypted files are not read"
        ));
    }
    SerializedFileReader::new(file).map_err(|error| damaged(path, error))
}

fn damaged(path: &str, why: impl std::fmt::Display) -> String {
    format!("Cannot read {path}: the Parquet file is damaged or cut off ({why})")
}

/// How the file's values are to be understood.
#[derive(Clone, Copy, PartialEq)]
enum Meaning {
    Plain,
    Unsigned,
    /// A count since 1970: multiply, then divide, to milliseconds.
    Time(i64, i64),
    /// Whole number times 10 to the minus this.
    Decimal(i32),
    Half,
    Text,
}

/// The meaning of a column and the dtype it has when none is asked for.
fn meaning(leaf: &ColumnDescriptor) -> Option<(Meaning, Dtype)> {
    use Meaning::*;
    let physical = leaf.physical_type();
    let text = matches!(physical, Physical::BYTE_ARRAY);
    Some(match (leaf.logical_type_ref(), leaf.converted_type()) {
        (Some(LogicalType::Timestamp(stamp)), _) if physical == Physical::INT64 => {
            let divisor = match stamp.unit {
                TimeUnit::MILLIS => 1,
                TimeUnit::MICROS => 1000,
                TimeUnit::NANOS => 1_000_000,
            };
            (Time(1, divisor), Dtype::Int64)
        }
        (None, ConvertedType::TIMESTAMP_MILLIS) if physical == Physical::INT64 => {
            (Time(1, 1), Dtype::Int64)
        }
        (None, ConvertedType::TIMESTAMP_MICROS) if physical == Physical::INT64 => {
            (Time(1, 1000), Dtype::Int64)
        }
        (Some(LogicalType::Date), _) | (None, ConvertedType::DATE)
            if physical == Physical::INT32 =>
        {
            (Time(86_400_000, 1), Dtype::Int64)
        }
        (Some(LogicalType::Decimal(_)), _) | (None, ConvertedType::DECIMAL) => {
            (Decimal(leaf.type_scale()), Dtype::Float64)
        }
        (Some(LogicalType::Integer(int)), _)
            if matches!(physical, Physical::INT32 | Physical::INT64) =>
        {
            let meaning = if int.is_signed { Plain } else { Unsigned };
            (
                meaning,
                match (int.bit_width, int.is_signed) {
                    (8, true) => Dtype::Int8,
                    (8, false) => Dtype::Uint8,
                    (16, true) => Dtype::Int16,
                    (16, false) | (32, true) => Dtype::Int32,
                    _ => Dtype::Int64,
                },
            )
        }
        (None, ConvertedType::UINT_8) => (Unsigned, Dtype::Uint8),
        (None, ConvertedType::UINT_16) => (Unsigned, Dtype::Int32),
        (None, ConvertedType::UINT_32 | ConvertedType::UINT_64) => (Unsigned, Dtype::Int64),
        (None, ConvertedType::INT_8) => (Plain, Dtype::Int8),
        (None, ConvertedType::INT_16) => (Plain, Dtype::Int16),
        (Some(LogicalType::Float16), _) => (Half, Dtype::Float32),
        _ => match physical {
            Physical::BOOLEAN => (Plain, Dtype::Bool),
            Physical::INT32 => (Plain, Dtype::Int32),
            Physical::INT64 => (Plain, Dtype::Int64),
            Physical::INT96 => (Time(1, 1), Dtype::Int64),
            Physical::FLOAT => (Plain, Dtype::Float32),
            Physical::DOUBLE => (Plain, Dtype::Float64),
            Physical::BYTE_ARRAY if text => (Text, Dtype::String),
            _ => return None,
        },
    })
}

fn read_column(
    path: &str,
    file: &SerializedFileReader<File>,
    leaf: usize,
    spec: &Spec,
    rows: usize,
) -> Result<Builder, String> {
    let schema = file.metadata().file_metadata().schema_descr_ptr();
    let descriptor = schema.column(leaf);
    let name = &spec.name;
    let refuse = |why: String| format!("Cannot read column \"{name}\" of {path}: {why}");
    if descriptor.max_rep_level() > 0 {
        return Err(refuse(
            "it holds lists, and only flat columns are read".into(),
        ));
    }
    let Some((meaning, own)) = meaning(&descriptor) else {
        return Err(refuse(format!(
            "its type {} is not read",
            descriptor.physical_type()
        )));
    };
    let wanted = spec.wanted;
    let as_time = wanted == Wanted::Timestamp;
    match (own == Dtype::String, wanted) {
        (true, Wanted::Number) => {
            return Err(refuse(format!(
                "it holds strings, and a list of names promises numbers\nHint: {{ columns: {{ {name:?}: \"string\" }} }}"
            )));
        }
        (false, Wanted::As(Dtype::String)) => {
            return Err(refuse(format!("it holds {}, not strings", own.name())));
        }
        (false, Wanted::Timestamp) if !matches!(meaning, Meaning::Time(..)) => {
            return Err(refuse(format!(
                "it holds {}, not dates or times",
                own.name()
            )));
        }
        _ => {}
    }
    let mut into = Builder::new(spec, own)?;
    into.reserve(rows.min(1 << 24)).map_err(&refuse)?;
    let target = wanted.dtype(own).name();
    let mut row = 0usize;
    let place = |row: usize, why: String| {
        let shown = if as_time { "timestamp" } else { target };
        format!("Cannot read column \"{name}\" of {path} as {shown}: row {row} {why}")
    };
    for group in 0..file.num_row_groups() {
        let group = file
            .get_row_group(group)
            .map_err(|error| damaged(path, error))?;
        let reader = group
            .get_column_reader(leaf)
            .map_err(|error| damaged(path, error))?;
        let expected = group.metadata().num_rows() as usize;
        let before = row;
        let levels = descriptor.max_def_level();
        // `drain` gives the outer error for a damaged file and the inner one for a value.
        let outcome = match reader {
            ColumnReader::BoolColumnReader(reader) => {
                drain(reader, levels, &mut row, |value| match value {
                    Some(value) => into.push_int(*value as i64),
                    None => into.push_missing(),
                })
            }
            ColumnReader::Int32ColumnReader(reader) => {
                drain(reader, levels, &mut row, |value| match value {
                    Some(value) if meaning == Meaning::Unsigned => {
                        into.push_int(*value as u32 as i64)
                    }
                    Some(value) => push_whole(&mut into, *value as i64, meaning),
                    None => into.push_missing(),
                })
            }
            ColumnReader::Int64ColumnReader(reader) => {
                drain(reader, levels, &mut row, |value| match value {
                    Some(value) if meaning == Meaning::Unsigned && *value < 0 => {
                        Err(format!("holds {}, which is beyond int64", *value as u64))
                    }
                    Some(value) => push_whole(&mut into, *value, meaning),
                    None => into.push_missing(),
                })
            }
            ColumnReader::Int96ColumnReader(reader) => {
                drain(reader, levels, &mut row, |value| match value {
                    Some(value) => into.push_int(value.to_millis()),
                    None => into.push_missing(),
                })
            }
            ColumnReader::FloatColumnReader(reader) => {
                drain(reader, levels, &mut row, |value| match value {
                    Some(value) => into.push_float32(*value),
                    None => into.push_missing(),
                })
            }
            ColumnReader::DoubleColumnReader(reader) => {
                drain(reader, levels, &mut row, |value| match value {
                    Some(value) => into.push_float(*value),
                    None => into.push_missing(),
                })
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                drain(reader, levels, &mut row, |value| match value {
                    Some(value) => push_bytes(&mut into, value, meaning, as_time),
                    None => into.push_missing(),
                })
            }
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                drain(reader, levels, &mut row, |value| match value {
                    Some(value) => push_bytes(&mut into, value, meaning, as_time),
                    None => into.push_missing(),
                })
            }
        };
        outcome
            .map_err(|error| damaged(path, error))?
            .map_err(|why| place(row, why))?;
        if row - before != expected {
            return Err(damaged(
                path,
                format!(
                    "column \"{name}\" has {} rows where {expected} are promised",
                    row - before
                ),
            ));
        }
    }
    Ok(into)
}

/// Reads a column chunk to its end, calling `each` with every value, None for null. `row` counts
/// on; after an inner error it is the failing row.
fn drain<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    max_level: i16,
    row: &mut usize,
    mut each: impl FnMut(Option<&T::T>) -> Result<(), String>,
) -> Result<Result<(), String>, ::parquet::errors::ParquetError> {
    let (mut values, mut levels) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    loop {
        values.clear();
        levels.clear();
        let (records, _, _) = reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Ok(Ok(()));
        }
        let mut present = values.iter();
        for index in 0..records {
            let there =
                max_level == 0 || levels.get(index).is_some_and(|level| *level == max_level);
            if let Err(why) = each(if there { present.next() } else { None }) {
                return Ok(Err(why));
            }
            *row += 1;
        }
    }
}

fn push_whole(into: &mut Builder, value: i64, meaning: Meaning) -> Result<(), String> {
    match meaning {
        Meaning::Time(factor, divisor) => match value.checked_mul(factor) {
            Some(scaled) => into.push_int(scaled.div_euclid(divisor)),
            None => Err(format!(
                "holds {value} days, which is beyond int64 milliseconds"
            )),
        },
        Meaning::Decimal(scale) => into.push_float(value as f64 / 10f64.powi(scale)),
        _ => into.push_int(value),
    }
}

/// Strings, and the numbers that Parquet keeps as bytes.
fn push_bytes<B: Bytes>(
    into: &mut Builder,
    value: &B,
    meaning: Meaning,
    as_time: bool,
) -> Result<(), String> {
    let bytes = value.bytes();
    match meaning {
        Meaning::Decimal(scale) => {
            if bytes.is_empty() || bytes.len() > 16 {
                return Err(format!(
                    "holds a decimal of {} bytes, and 1 to 16 are read",
                    bytes.len()
                ));
            }
            // Big-endian two's complement.
            let start = if bytes[0] & 0x80 != 0 { -1i128 } else { 0 };
            let whole = bytes
                .iter()
                .fold(start, |sum, byte| (sum << 8) | *byte as i128);
            into.push_float(whole as f64 / 10f64.powi(scale))
        }
        Meaning::Half => match bytes {
            [low, high] => into.push_float32(half_to_float(u16::from_le_bytes([*low, *high]))),
            _ => Err(format!("holds a float16 of {} bytes", bytes.len())),
        },
        _ => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| "holds bytes that are no UTF-8 text".to_string())?;
            if as_time {
                return match timestamp(text) {
                    Some(milliseconds) => into.push_int(milliseconds),
                    None => Err(format!(
                        "holds the text {}, and a time looks like 2010-12-01 08:26:00",
                        quoted(text)
                    )),
                };
            }
            into.push_text(text)
        }
    }
}

trait Bytes {
    fn bytes(&self) -> &[u8];
}

impl Bytes for ByteArray {
    fn bytes(&self) -> &[u8] {
        self.data()
    }
}

impl Bytes for ::parquet::data_type::FixedLenByteArray {
    fn bytes(&self) -> &[u8] {
        self.data()
    }
}

fn half_to_float(bits: u16) -> f32 {
    let sign = if bits & 0x8000 != 0 { -1.0f32 } else { 1.0 };
    let (exponent, fraction) = ((bits >> 10) & 31, (bits & 1023) as f32);
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction != 0.0 => f32::NAN,
        31 => sign * f32::INFINITY,
        _ => sign * (1.0 + fraction / 1024.0) * 2f32.powi(exponent as i32 - 15),
    }
}

#[cfg(test)]
mod tests;
