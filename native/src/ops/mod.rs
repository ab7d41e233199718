//! The opcode table: every family's rows, in order. A row's place is its opcode.

pub mod map;
pub mod pointwise;

use crate::instruction::Row;
use std::sync::OnceLock;

/// All rows; built once.
pub fn table() -> &'static [Row] {
    static TABLE: OnceLock<Vec<Row>> = OnceLock::new();
    TABLE.get_or_init(|| [pointwise::ROWS].concat())
}
