//! A table's columns on their way from a file to typed little-endian buffers: the request's
//! column list, checked casts, the rule for missing values, and the job's answer.

use super::JobOutput;
use serde_json::{Map, Value, json};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dtype {
    Float32,
    Float64,
    Int64,
    Int32,
    Int16,
    Int8,
    Uint8,
    Bool,
    String,
}

const NAMES: [(&str, Dtype); 9] = [
    ("float32", Dtype::Float32),
    ("float64", Dtype::Float64),
    ("int64", Dtype::Int64),
    ("int32", Dtype::Int32),
    ("int16", Dtype::Int16),
    ("int8", Dtype::Int8),
    ("uint8", Dtype::Uint8),
    ("bool", Dtype::Bool),
    ("string", Dtype::String),
];

impl Dtype {
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, dtype)| *dtype == self)
            .map_or("", |(name, _)| name)
    }

    fn is_float(self) -> bool {
        matches!(self, Dtype::Float32 | Dtype::Float64)
    }

    /// Smallest and largest value of an integer dtype.
    fn range(self) -> (i64, i64) {
        match self {
            Dtype::Int32 => (i32::MIN as i64, i32::MAX as i64),
            Dtype::Int16 => (i16::MIN as i64, i16::MAX as i64),
            Dtype::Int8 => (i8::MIN as i64, i8::MAX as i64),
            Dtype::Uint8 => (0, 255),
            Dtype::Bool => (0, 1),
            _ => (i64::MIN, i64::MAX),
        }
    }
}

/// What the request wants of one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// The file's own type.
    Own,
    /// The file's own type, which must be numeric.
    Number,
    /// Dates and times as int64 milliseconds since 1970-01-01 UTC.
    Timestamp,
    As(Dtype),
}

impl Wanted {
    /// The dtype of the buffer, given the type the file has.
    pub fn dtype(self, own: Dtype) -> Dtype {
        match self {
            Wanted::Own | Wanted::Number => own,
            Wanted::Timestamp => Dtype::Int64,
            Wanted::As(dtype) => dtype,
        }
    }
}

/// One entry of the request's `columns`: `{name, dtype?, fill?, mask?}`.
#[derive(Clone, Debug)]
pub struct Spec {
    pub name: String,
    pub wanted: Wanted,
    /// Stands in for missing values.
    pub fill: Option<Value>,
    /// Asks for a uint8 buffer with 1 where a value is present.
    pub mask: bool,
}

/// The request's `columns`: null for all of them, or a list of entries.
pub fn specs(request: &Value) -> Result<Option<Vec<Spec>>, String> {
    let list = match &request["columns"] {
        Value::Null => return Ok(None),
        Value::Array(list) => list,
        other => {
            return Err(format!(
                "Cannot use columns {other}: a list or null is needed"
            ));
        }
    };
    list.iter()
        .map(spec)
        .collect::<Result<Vec<_>, _>>()
        .map(Some)
}

fn spec(entry: &Value) -> Result<Spec, String> {
    let name = entry["name"]
        .as_str()
        .ok_or_else(|| format!("Cannot use column {entry}: it has no name"))?;
    let wanted = match entry["dtype"].as_str() {
        None => Wanted::Own,
        Some("number") => Wanted::Number,
        Some("timestamp") => Wanted::Timestamp,
        Some(text) => match NAMES.iter().find(|(known, _)| *known == text) {
            Some((_, dtype)) => Wanted::As(*dtype),
            None => {
                let known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
                return Err(format!(
                    "Cannot read column \"{name}\" as {text}: a table column is one of {} or timestamp",
                    known.join(", ")
                ));
            }
        },
    };
    let fill = entry.get("fill").filter(|fill| !fill.is_null()).cloned();
    Ok(Spec {
        name: name.to_string(),
        wanted,
        fill,
        mask: entry["mask"] == true,
    })
}

/// Finds each wanted name among those the file has. Gives positions.
pub fn locate(path: &str, has: &[String], specs: &[Spec]) -> Result<Vec<usize>, String> {
    let find = |spec: &Spec| {
        let mut places = has
            .iter()
            .enumerate()
            .filter(|(_, name)| **name == spec.name);
        match (places.next(), places.next()) {
            (Some((place, _)), None) => Ok(place),
            (Some(_), Some(_)) => Err(format!(
                "Cannot read column \"{}\" of {path}: two columns have that name",
                spec.name
            )),
            _ => Err(format!(
                "Cannot read column \"{}\" of {path}: the file has {}",
                spec.name,
                has.iter()
                    .map(|name| format!("\"{name}\""))
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        }
    };
    specs.iter().map(find).collect()
}

enum Fill {
    None,
    Int(i64),
    Float(f64),
    Text(String),
}

/// Collects one column. Each `push` says why a value does not fit; the caller adds the place.
pub struct Builder {
    pub name: String,
    dtype: Dtype,
    bytes: Vec<u8>,
    /// Ends of the strings in `bytes`, with a leading 0.
    ends: Vec<usize>,
    fill: Fill,
    mask: Option<Vec<u8>>,
}

impl Builder {
    pub fn new(spec: &Spec, own: Dtype) -> Result<Builder, String> {
        let dtype = spec.wanted.dtype(own);
        let fill = match &spec.fill {
            None => Fill::None,
            Some(Value::Bool(flag)) if dtype == Dtype::Bool => Fill::Int(*flag as i64),
            Some(Value::String(text)) if dtype == Dtype::String => Fill::Text(text.clone()),
            Some(Value::Number(number)) if !matches!(dtype, Dtype::String | Dtype::Bool) => {
                match number.as_i64() {
                    Some(int) => Fill::Int(int),
                    None => Fill::Float(number.as_f64().unwrap_or(f64::NAN)),
                }
            }
            Some(other) => {
                return Err(format!(
                    "Cannot fill column \"{}\" with {other}: it is read as {}",
                    spec.name,
                    dtype.name()
                ));
            }
        };
        let filled = !matches!(fill, Fill::None);
        let mut builder = Builder {
            name: spec.name.clone(),
            dtype,
            bytes: Vec::new(),
            ends: vec![0],
            fill,
            mask: spec.mask.then(Vec::new),
        };
        if filled {
            // A fill value that does not fit is told before the file is read.
            builder.push_missing().map_err(|why| {
                format!(
                    "Cannot fill column \"{}\" of {}: the value {why}",
                    spec.name,
                    dtype.name()
                )
            })?;
            builder.bytes.clear();
            builder.ends.truncate(1);
            builder.mask = spec.mask.then(Vec::new);
        }
        Ok(builder)
    }

    /// Makes room for `rows` more values; tells a file that promises more than memory holds.
    pub fn reserve(&mut self, rows: usize) -> Result<(), String> {
        let width = match self.dtype {
            Dtype::Float64 | Dtype::Int64 => 8,
            Dtype::Float32 | Dtype::Int32 => 4,
            Dtype::Int16 => 2,
            _ => 1,
        };
        rows.checked_mul(width)
            .and_then(|bytes| self.bytes.try_reserve(bytes).ok())
            .ok_or_else(|| {
                format!(
                    "there is no memory for {rows} rows of {}",
                    self.dtype.name()
                )
            })
    }

    fn done(&mut self, present: bool) {
        if let Some(mask) = &mut self.mask {
            mask.push(present as u8);
        }
    }

    pub fn push_int(&mut self, value: i64) -> Result<(), String> {
        self.int(value)?;
        self.done(true);
        Ok(())
    }

    #[inline]
    fn int(&mut self, value: i64) -> Result<(), String> {
        let (low, high) = self.dtype.range();
        if value < low || value > high {
            return Err(format!(
                "holds {value}, and {} goes from {low} to {high}",
                self.dtype.name()
            ));
        }
        match self.dtype {
            Dtype::Float32 => self.bytes.extend_from_slice(&(value as f32).to_le_bytes()),
            Dtype::Float64 => self.bytes.extend_from_slice(&(value as f64).to_le_bytes()),
            Dtype::Int64 => self.bytes.extend_from_slice(&value.to_le_bytes()),
            Dtype::Int32 => self.bytes.extend_from_slice(&(value as i32).to_le_bytes()),
            Dtype::Int16 => self.bytes.extend_from_slice(&(value as i16).to_le_bytes()),
            Dtype::Int8 | Dtype::Uint8 | Dtype::Bool => self.bytes.push(value as u8),
            Dtype::String => return Err(format!("holds the number {value}, no string")),
        }
        Ok(())
    }

    pub fn push_float(&mut self, value: f64) -> Result<(), String> {
        self.float(value)?;
        self.done(true);
        Ok(())
    }

    #[inline]
    fn float(&mut self, value: f64) -> Result<(), String> {
        match self.dtype {
            Dtype::Float64 => self.bytes.extend_from_slice(&value.to_le_bytes()),
            Dtype::Float32 => {
                let narrow = value as f32;
                if narrow.is_infinite() && value.is_finite() {
                    return Err(format!("holds {value:e}, and float32 ends at 3.4e38"));
                }
                self.bytes.extend_from_slice(&narrow.to_le_bytes());
            }
            Dtype::String => return Err(format!("holds the number {value}, no string")),
            dtype => {
                if value.fract() != 0.0 || !value.is_finite() {
                    return Err(format!(
                        "holds {value}, and {} takes whole numbers",
                        dtype.name()
                    ));
                }
                // 2^63 is a float, and the first that int64 does not hold.
                let edge = i64::MIN as f64;
                if !(edge..-edge).contains(&value) {
                    let (low, high) = dtype.range();
                    return Err(format!(
                        "holds {value:e}, and {} goes from {low} to {high}",
                        dtype.name()
                    ));
                }
                return self.int(value as i64);
            }
        }
        Ok(())
    }

    /// A float32 value, kept exactly.
    #[inline]
    pub fn push_float32(&mut self, value: f32) -> Result<(), String> {
        if self.dtype != Dtype::Float32 {
            return self.push_float(value as f64);
        }
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self.done(true);
        Ok(())
    }

    pub fn push_text(&mut self, value: &str) -> Result<(), String> {
        if self.dtype != Dtype::String {
            return Err(format!("holds the text {}", quoted(value)));
        }
        self.text(value);
        self.done(true);
        Ok(())
    }

    fn text(&mut self, value: &str) {
        self.bytes.extend_from_slice(value.as_bytes());
        self.ends.push(self.bytes.len());
    }

    /// A null, or an empty cell: the fill value, else NaN in a float column, else zero or an
    /// empty string beside a mask, else an error.
    pub fn push_missing(&mut self) -> Result<(), String> {
        match &self.fill {
            Fill::Int(value) => {
                let value = *value;
                self.int(value)?;
            }
            Fill::Float(value) => {
                let value = *value;
                self.float(value)?;
            }
            Fill::Text(text) => {
                let text = text.clone();
                self.text(&text);
            }
            Fill::None if self.dtype.is_float() => self.float(f64::NAN)?,
            Fill::None if self.mask.is_some() && self.dtype == Dtype::String => self.text(""),
            Fill::None if self.mask.is_some() => self.int(0)?,
            Fill::None => {
                let (dtype, sample) = (
                    self.dtype.name(),
                    match self.dtype {
                        Dtype::String => "\"\"",
                        Dtype::Bool => "false",
                        _ => "-1",
                    },
                );
                return Err(format!(
                    "holds nothing, and {dtype} has no missing value\nHint: give the column as {{ dtype: \"{dtype}\", fill: {sample} }}, or ask for a mask with {{ dtype: \"{dtype}\", mask: \"isKnown\" }}"
                ));
            }
        }
        self.done(false);
        Ok(())
    }

    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub fn has_null_rule(&self) -> bool {
        self.mask.is_some() || !matches!(self.fill, Fill::None)
    }
}

/// A text for an error message: quoted, and cut where it is long.
pub fn quoted(text: &str) -> String {
    if text.chars().count() <= 40 {
        return format!("{text:?}");
    }
    format!("{:?}…", text.chars().take(40).collect::<String>())
}

/// The job's answer: rows, and for each column the numbers of its buffers.
pub fn answer(rows: usize, columns: Vec<Builder>) -> JobOutput {
    let mut buffers = Vec::new();
    let mut keep = |bytes: Vec<u8>| {
        buffers.push(bytes);
        buffers.len() - 1
    };
    let mut list = Vec::new();
    for column in columns {
        let mut entry = Map::new();
        if column.dtype == Dtype::String {
            // Offsets are int32 while they fit, else float64, which JavaScript reads exactly.
            let wide = column.bytes.len() > i32::MAX as usize;
            let offsets: Vec<u8> = if wide {
                column
                    .ends
                    .iter()
                    .flat_map(|end| (*end as f64).to_le_bytes())
                    .collect()
            } else {
                column
                    .ends
                    .iter()
                    .flat_map(|end| (*end as i32).to_le_bytes())
                    .collect()
            };
            entry.insert("offsets".into(), keep(offsets).into());
            let kind = if wide { "float64" } else { "int32" };
            entry.insert("offsetsDtype".into(), kind.into());
        }
        entry.insert("name".into(), column.name.into());
        entry.insert("dtype".into(), column.dtype.name().into());
        entry.insert("buffer".into(), keep(column.bytes).into());
        if let Some(mask) = column.mask {
            entry.insert("mask".into(), keep(mask).into());
        }
        list.push(Value::Object(entry));
    }
    JobOutput {
        json: json!({ "rows": rows, "columns": list }),
        buffers,
    }
}

#[cfg(test)]
mod tests;
