//! The job "csv": columns of a delimited text file as typed buffers. Request
//! `{path, columns, delimiter, header, missing}`; messages name the line as editors count it.

use super::column::{Builder, Dtype, Spec, Wanted, answer, locate, quoted, specs};
use super::time::timestamp;
use super::{JobOutput, path_of, reason};
use ::csv::{ByteRecord, ErrorKind, Position, Reader, ReaderBuilder};
use serde_json::Value;
use std::fs::File;

pub fn read(request: &Value) -> Result<JobOutput, String> {
    let table = Table::new(request)?;
    let (mut reader, names) = table.open()?;
    let mut own = None;
    let specs = match specs(request)? {
        Some(specs) => specs,
        None => {
            let spec = |name: &String| Spec {
                name: name.clone(),
                wanted: Wanted::Own,
                fill: None,
                mask: false,
            };
            names.iter().map(spec).collect()
        }
    };
    let places = locate(table.path, &names, &specs)?;
    if specs
        .iter()
        .any(|spec| matches!(spec.wanted, Wanted::Own | Wanted::Number))
    {
        own = Some(table.infer(&names)?);
    }
    let mut columns = Vec::with_capacity(specs.len());
    for (spec, place) in specs.iter().zip(&places) {
        let dtype = own.as_ref().map_or(Dtype::String, |own| own[*place]);
        if spec.wanted == Wanted::Number && dtype == Dtype::String {
            return Err(format!(
                "Cannot read column \"{0}\" of {1}: it holds text, and a list of names promises numbers\nHint: {{ columns: {{ {0:?}: \"string\" }} }}",
                spec.name, table.path
            ));
        }
        columns.push(Builder::new(spec, dtype)?);
    }
    let mut record = ByteRecord::new();
    let mut rows = 0usize;
    while table.next(&mut reader, &mut record)? {
        for ((spec, place), into) in specs.iter().zip(&places).zip(&mut columns) {
            let cell = record.get(*place).unwrap_or_default();
            table
                .push(into, cell, spec.wanted == Wanted::Timestamp)
                .map_err(|why| {
                    let wanted = match spec.wanted {
                        Wanted::Timestamp => "timestamp",
                        _ => into.dtype().name(),
                    };
                    let line = line_of(record.position());
                    format!(
                        "Cannot read column \"{}\" of {} as {wanted}: line {line} {why}",
                        spec.name, table.path
                    )
                })?;
        }
        rows += 1;
    }
    Ok(answer(rows, columns))
}

/// The file and how it is written.
struct Table<'a> {
    path: &'a str,
    delimiter: u8,
    header: bool,
    /// Names for the columns of a file without a header line.
    names: Option<Vec<String>>,
    /// Texts that count as missing beside the empty cell.
    missing: Vec<&'a str>,
}

impl<'a> Table<'a> {
    fn new(request: &'a Value) -> Result<Table<'a>, String> {
        let path = path_of(request)?;
        let delimiter = match request["delimiter"].as_str().unwrap_or(",").as_bytes() {
            [byte] if !matches!(byte, b'"' | b'\n' | b'\r') && byte.is_ascii() => *byte,
            _ => {
                return Err(format!(
                    "Cannot read {path}: the delimiter {} is not one ASCII character other than a quote or line end",
                    request["delimiter"]
                ));
            }
        };
        let texts = |value: &'a Value| -> Vec<&'a str> {
            value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect()
        };
        let names = request["header"].is_array().then(|| {
            texts(&request["header"])
                .into_iter()
                .map(str::to_string)
                .collect()
        });
        Ok(Table {
            path,
            delimiter,
            header: names.is_none() && request["header"].as_bool().unwrap_or(true),
            names,
            missing: texts(&request["missing"]),
        })
    }

    /// Opens the file and gives the column names.
    fn open(&self) -> Result<(Reader<File>, Vec<String>), String> {
        let path = self.path;
        let fail = |error: std::io::Error| format!("Cannot read {path}: {}", reason(&error));
        let file = File::open(path).map_err(fail)?;
        if file.metadata().map_err(fail)?.is_dir() {
            return Err(format!("Cannot read {path}: it is a directory"));
        }
        let mut reader = ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(self.header)
            .buffer_capacity(1 << 18)
            .from_reader(file);
        let first = reader
            .byte_headers()
            .map_err(|error| self.broken(error))?
            .clone();
        if self.header && first.is_empty() {
            return Err(format!(
                "Cannot read {path}: it is empty, and the first line holds the column names"
            ));
        }
        let names = if self.header {
            let decode = |(at, name): (usize, &[u8])| match std::str::from_utf8(name) {
                Ok(name) => Ok(name.to_string()),
                Err(_) => Err(format!(
                    "Cannot read {path}: the name of column {} is no UTF-8 text",
                    at + 1
                )),
            };
            first
                .iter()
                .enumerate()
                .map(decode)
                .collect::<Result<_, _>>()?
        } else if let Some(names) = &self.names {
            if !first.is_empty() && names.len() != first.len() {
                return Err(format!(
                    "Cannot read {path}: header names {} columns and the file has {}",
                    names.len(),
                    first.len()
                ));
            }
            names.clone()
        } else {
            (0..first.len()).map(|at| format!("column{at}")).collect()
        };
        Ok((reader, names))
    }

    fn next(&self, reader: &mut Reader<File>, record: &mut ByteRecord) -> Result<bool, String> {
        reader
            .read_byte_record(record)
            .map_err(|error| self.broken(error))
    }

    fn broken(&self, error: ::csv::Error) -> String {
        let path = self.path;
        match error.kind() {
            ErrorKind::UnequalLengths {
                pos,
                expected_len,
                len,
            } => format!(
                "Cannot read {path}: line {} has {len} cells and the lines before have {expected_len}",
                line_of(pos.as_ref())
            ),
            ErrorKind::Io(error) => format!("Cannot read {path}: {}", reason(error)),
            _ => format!("Cannot read {path}: {error}"),
        }
    }

    fn is_missing(&self, cell: &[u8]) -> bool {
        cell.is_empty() || self.missing.iter().any(|text| text.as_bytes() == cell)
    }

    /// The narrowest of int64, float32 and string that holds every cell of each column.
    /// An integer column with an empty cell is float32, where NaN stands for it.
    fn infer(&self, names: &[String]) -> Result<Vec<Dtype>, String> {
        let (mut reader, _) = self.open()?;
        let mut own = vec![Dtype::Int64; names.len()];
        let mut holes = vec![false; names.len()];
        let mut known = vec![false; names.len()];
        let mut record = ByteRecord::new();
        while self.next(&mut reader, &mut record)? {
            for (at, cell) in record.iter().enumerate() {
                if at >= own.len() || own[at] == Dtype::String {
                    continue;
                }
                let cell = cell.trim_ascii();
                if self.is_missing(cell) {
                    holes[at] = true;
                    continue;
                }
                known[at] = true;
                let text = std::str::from_utf8(cell).unwrap_or("?");
                if text.parse::<i64>().is_ok() {
                    continue;
                }
                // Digits alone that pass int64 are a name, not a quantity: float32 would lose them.
                let digits = cell.iter().all(u8::is_ascii_digit);
                let number = !digits && text.parse::<f64>().is_ok();
                own[at] = if number {
                    Dtype::Float32
                } else {
                    Dtype::String
                };
            }
        }
        for at in 0..own.len() {
            if !known[at] {
                own[at] = Dtype::String;
            } else if holes[at] && own[at] == Dtype::Int64 {
                own[at] = Dtype::Float32;
            }
        }
        Ok(own)
    }

    fn push(&self, into: &mut Builder, cell: &[u8], as_time: bool) -> Result<(), String> {
        let text = || {
            std::str::from_utf8(cell).map_err(|_| {
                format!(
                    "holds {}, which is no UTF-8 text",
                    quoted(&String::from_utf8_lossy(cell))
                )
            })
        };
        if into.dtype() == Dtype::String {
            // An empty cell is an empty string, unless a fill value or a mask asks to see it.
            let named = self.missing.iter().any(|text| text.as_bytes() == cell);
            if named || (cell.is_empty() && into.has_null_rule()) {
                return into.push_missing();
            }
            return into.push_text(text()?);
        }
        let cell = cell.trim_ascii();
        if self.is_missing(cell) {
            return into.push_missing();
        }
        let text = text()?.trim();
        if as_time {
            return match timestamp(text) {
                Some(milliseconds) => into.push_int(milliseconds),
                None => Err(format!(
                    "holds {}, and a time looks like 2010-12-01 08:26:00",
                    quoted(text)
                )),
            };
        }
        let wrong = || {
            format!(
                "holds {}, which is no {}",
                quoted(text),
                into.dtype().name()
            )
        };
        match into.dtype() {
            Dtype::Float32 => match text.parse::<f32>() {
                Ok(value) if value.is_infinite() && cell.iter().any(u8::is_ascii_digit) => Err(
                    format!("holds {}, and float32 ends at 3.4e38", quoted(text)),
                ),
                Ok(value) => into.push_float32(value),
                Err(_) => Err(wrong()),
            },
            Dtype::Bool => match text {
                "true" | "True" | "TRUE" => into.push_int(1),
                "false" | "False" | "FALSE" => into.push_int(0),
                _ => match text.parse::<i64>() {
                    Ok(value) => into.push_int(value),
                    Err(_) => Err(wrong()),
                },
            },
            Dtype::Float64 => match text.parse::<f64>() {
                Ok(value) => into.push_float(value),
                Err(_) => Err(wrong()),
            },
            _ => match text.parse::<i64>() {
                Ok(value) => into.push_int(value),
                // "3.0" and "1e3" are whole numbers too; plain digits beyond int64 are not rounded.
                Err(_) => match text.parse::<f64>() {
                    Ok(value) if text.contains(['.', 'e', 'E']) => into.push_float(value),
                    Ok(value) if value.abs() >= 9.2e18 => Err(format!(
                        "holds {}, which is beyond {}",
                        quoted(text),
                        into.dtype().name()
                    )),
                    _ => Err(wrong()),
                },
            },
        }
    }
}

/// The line of a record. The csv crate counts line feeds only, so in a file with bare carriage
/// returns the record's number stands in.
fn line_of(position: Option<&Position>) -> u64 {
    match position {
        None => 0,
        Some(position) if position.line() == 1 => position.record() + 1,
        Some(position) => position.line(),
    }
}

#[cfg(test)]
mod tests;
