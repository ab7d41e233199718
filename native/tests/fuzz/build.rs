//! Puts instructions together: operands of random layouts in storages of their own, filled with values that a kernel
//! meets in life and some that it should not.

use crate::random::Random;
use toro::abi;
use toro::dtype::{DTYPES, DType};

const WORDS: usize = 1 << 16;
/// Values to fill storages with, one run of bytes per flavour.
const FILL: usize = 64 * 1024;

/// One operand as it goes into an instruction.
#[derive(Clone, Debug)]
pub struct Operand {
    pub words: Vec<f64>,
}

/// A scalar.
#[derive(Clone, Copy, Debug)]
pub enum Scalar {
    Float(f64),
    Int(i64),
    /// A float64 in a storage.
    Cell(f64),
}

/// An instruction before it is laid down as words.
#[derive(Clone, Debug, Default)]
pub struct Instruction {
    pub operands: Vec<Operand>,
    pub scalars: Vec<Scalar>,
}

impl Instruction {
    pub fn new(operands: Vec<Operand>, scalars: &[f64]) -> Instruction {
        Instruction {
            operands,
            scalars: scalars.iter().map(|&x| Scalar::Float(x)).collect(),
        }
    }

    pub fn words(&self, opcode: usize) -> Vec<f64> {
        let mut words = vec![
            0.0,
            opcode as f64,
            self.operands.len() as f64,
            self.scalars.len() as f64,
        ];
        for o in &self.operands {
            words.extend(&o.words);
        }
        for &s in &self.scalars {
            match s {
                Scalar::Float(x) => words.extend([0.0, x, 0.0]),
                Scalar::Int(x) => {
                    words.extend([2.0, f64::from(x as u32), f64::from((x >> 32) as u32)])
                }
                Scalar::Cell(handle) => words.extend([1.0, handle, 0.0]),
            }
        }
        words[0] = words.len() as f64;
        words
    }
}

/// The thread's buffer, the storages of the instruction at hand, and handles that went stale.
pub struct Bench {
    thread: u32,
    buffer: Vec<f64>,
    flavours: Vec<Vec<u8>>,
    storages: Vec<f64>,
    pub stale: Vec<f64>,
}

/// The bytes that a block for so many has, as in the allocator: an operand that ends where its block ends has nothing
/// behind it that a kernel could touch unseen.
fn block(bytes: usize) -> usize {
    let units = bytes.max(1).div_ceil(64);
    if units <= 8 {
        return units * 64;
    }
    let step = 1usize << ((usize::BITS - 1 - (units - 1).leading_zeros()) as usize - 3);
    units.div_ceil(step) * step * 64
}

impl Bench {
    pub fn new() -> Bench {
        let mut buffer = vec![0.0; WORDS];
        let thread = abi::toro_open(buffer.as_mut_ptr(), WORDS as u32);
        assert!(thread > 0);
        // The library silences panics; a test that fails, and what it finds, are to be read.
        drop(std::panic::take_hook());
        // A gigabyte: damaged sizes must meet a limit.
        assert_eq!(abi::toro_option(thread, 0, (1u64 << 30) as f64), 0);
        Bench {
            thread,
            buffer,
            flavours: flavours(),
            storages: Vec::new(),
            stale: vec![0.0],
        }
    }

    /// Frees what the last instruction used.
    pub fn begin(&mut self) {
        let handles = std::mem::take(&mut self.storages);
        self.buffer[..handles.len()].copy_from_slice(&handles);
        assert_eq!(
            abi::toro_free(self.thread, handles.len() as u32),
            0,
            "{}",
            self.text()
        );
        if let Some(&handle) = handles.first() {
            if self.stale.len() > 64 {
                self.stale.remove(0);
            }
            self.stale.push(handle);
        }
    }

    pub fn execute(&mut self, words: &[f64]) -> i32 {
        let n = words.len().min(WORDS);
        self.buffer[..n].copy_from_slice(&words[..n]);
        abi::toro_execute(self.thread, n as u32)
    }

    /// The text of the last error.
    pub fn text(&self) -> String {
        let length = (self.buffer[0] as usize).min(8 * (WORDS - 1));
        // SAFETY: bytes of the buffer behind its first word.
        let bytes =
            unsafe { std::slice::from_raw_parts(self.buffer.as_ptr().add(1).cast::<u8>(), length) };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// A storage of so many bytes, filled with values of a dtype.
    pub fn storage(&mut self, bytes: usize, dtype: DType, r: &mut Random) -> f64 {
        let handle = abi::toro_alloc(self.thread, bytes as f64, 0);
        assert!(handle >= 0.0, "{}", self.text());
        self.storages.push(handle);
        let flavour = if r.one_in(12) {
            DTYPES.len() + r.below(2)
        } else {
            dtype as usize
        };
        let mut at = 0;
        while at < bytes {
            let n = (bytes - at).min(FILL / 2);
            let from = r.below(FILL / 16) * 8;
            let data = &self.flavours[flavour][from..from + n];
            // SAFETY: `data` has n bytes.
            let code =
                unsafe { abi::toro_write(self.thread, handle, at as f64, data.as_ptr(), n as f64) };
            assert_eq!(code, 0);
            at += n;
        }
        handle
    }

    pub fn place(
        &mut self,
        dtype: DType,
        dims: &[usize],
        strides: &[isize],
        r: &mut Random,
    ) -> Operand {
        let empty = dims.contains(&0);
        let (mut low, mut high) = (0isize, 0isize);
        for (&d, &s) in dims.iter().zip(strides) {
            let reach = s * (d as isize - 1);
            if reach < 0 {
                low += reach
            } else {
                high += reach
            }
        }
        let extent = if empty { 0 } else { (high - low) as usize + 1 };
        let room = block(extent * dtype.size()) / dtype.size();
        let first = match r.below(3) {
            0 => 0,
            1 => room - extent,
            _ => r.below(room - extent + 1),
        };
        let handle = self.storage(room * dtype.size(), dtype, r);
        let offset = first as isize - if empty { 0 } else { low };
        let mut words = vec![
            handle,
            offset as f64,
            f64::from(dtype as u8),
            dims.len() as f64,
        ];
        words.extend(dims.iter().map(|&d| d as f64));
        words.extend(strides.iter().map(|&s| s as f64));
        Operand { words }
    }

    /// Row-major and dense.
    pub fn dense(&mut self, dtype: DType, dims: &[usize], r: &mut Random) -> Operand {
        let strides = contiguous(dims);
        self.place(dtype, dims, &strides, r)
    }

    /// Of any layout that an output may have.
    pub fn output(&mut self, dtype: DType, dims: &[usize], r: &mut Random) -> Operand {
        let strides = any_strides(dims, r);
        self.place(dtype, dims, &strides, r)
    }

    /// Of any layout, stretched dims among them.
    pub fn input(&mut self, dtype: DType, dims: &[usize], r: &mut Random) -> Operand {
        let mut strides = any_strides(dims, r);
        for s in &mut strides {
            if r.one_in(12) {
                *s = 0;
            }
        }
        self.place(dtype, dims, &strides, r)
    }

    /// Whole numbers from `low` to `high - 1` as int64; one in two hundred lies outside.
    pub fn indices(&mut self, dims: &[usize], low: i64, high: i64, r: &mut Random) -> Operand {
        self.whole(DType::I64, dims, low, high, r)
    }

    /// Whole numbers of an integer dtype, dense.
    pub fn whole(
        &mut self,
        dtype: DType,
        dims: &[usize],
        low: i64,
        high: i64,
        r: &mut Random,
    ) -> Operand {
        let n: usize = dims.iter().product();
        let wild = r.one_in(50);
        let values: Vec<i64> = (0..n)
            .map(|_| {
                if wild && r.one_in(4) {
                    r.pick(&[-1, high, i64::MAX, i64::MIN, 1 << 40])
                } else {
                    low + r.below((high - low).max(1) as usize) as i64
                }
            })
            .collect();
        self.given(dtype, dims, &values, r)
    }

    /// Given whole numbers of an integer dtype, dense.
    pub fn given(
        &mut self,
        dtype: DType,
        dims: &[usize],
        values: &[i64],
        r: &mut Random,
    ) -> Operand {
        let operand = self.dense(dtype, dims, r);
        let size = dtype.size();
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|x| x.to_le_bytes()[..size].to_vec())
            .collect();
        let at = operand.words[1] * size as f64;
        // SAFETY: the values are as long as it says.
        let code = unsafe {
            abi::toro_write(
                self.thread,
                operand.words[0],
                at,
                bytes.as_ptr(),
                bytes.len() as f64,
            )
        };
        assert_eq!(code, 0, "{}", self.text());
        operand
    }

    /// Given int64, dense, of one dim.
    pub fn numbers(&mut self, values: &[i64], r: &mut Random) -> Operand {
        self.given(DType::I64, &[values.len()], values, r)
    }

    /// A dense operand with given float64 values, as cells and offsets are kept.
    pub fn cells(&mut self, values: &[f64], r: &mut Random) -> Operand {
        let operand = self.dense(DType::F64, &[values.len()], r);
        let at = operand.words[1] * 8.0;
        // SAFETY: the values are as long as it says.
        let code = unsafe {
            abi::toro_write(
                self.thread,
                operand.words[0],
                at,
                values.as_ptr().cast(),
                (8 * values.len()) as f64,
            )
        };
        assert_eq!(code, 0, "{}", self.text());
        operand
    }

    /// A storage with one float64 at its start, for a scalar that is a cell.
    pub fn cell(&mut self, value: f64, r: &mut Random) -> Scalar {
        let handle = self.storage(64, DType::F64, r);
        // SAFETY: `value` has 8 bytes.
        let code =
            unsafe { abi::toro_write(self.thread, handle, 0.0, (&raw const value).cast(), 8.0) };
        assert_eq!(code, 0, "{}", self.text());
        Scalar::Cell(handle)
    }
}

/// A number in an operand's place.
pub fn immediate(r: &mut Random) -> Operand {
    let words = match r.below(4) {
        0 => vec![
            -1.0,
            1.0,
            f64::from(r.next() as u32),
            f64::from((r.next() & 1) as u32 * u32::MAX),
        ],
        1 => vec![
            -1.0,
            0.0,
            r.pick(&[f64::NAN, f64::INFINITY, -0.0, 1e300]),
            0.0,
        ],
        _ => vec![-1.0, 0.0, (r.unit() - 0.5) * 8.0, 0.0],
    };
    Operand { words }
}

pub fn contiguous(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; dims.len()];
    for d in (1..dims.len()).rev() {
        strides[d - 1] = strides[d] * dims[d].max(1) as isize;
    }
    strides
}

/// Dims in any order in memory, with gaps between rows and elements, some walked backwards.
fn any_strides(dims: &[usize], r: &mut Random) -> Vec<isize> {
    if r.one_in(2) {
        return contiguous(dims);
    }
    let mut order: Vec<usize> = (0..dims.len()).collect();
    if r.one_in(2) {
        for i in (1..order.len()).rev() {
            order.swap(i, r.below(i + 1));
        }
    }
    let mut strides = vec![0isize; dims.len()];
    let mut step = if r.one_in(3) { 2 } else { 1 };
    for &d in order.iter().rev() {
        strides[d] = step * if r.one_in(10) { -1 } else { 1 };
        step *= dims[d].max(1) as isize;
        if r.one_in(5) {
            step += 1;
        }
    }
    strides
}

/// Bytes of values by dtype, then two flavours of noise.
fn flavours() -> Vec<Vec<u8>> {
    let mut r = Random::new(7);
    let mut all: Vec<Vec<u8>> = DTYPES
        .iter()
        .map(|&dtype| {
            let mut bytes = Vec::with_capacity(FILL);
            while bytes.len() < FILL {
                let x = match r.below(40) {
                    0 => f64::NAN,
                    1 => f64::INFINITY,
                    2 => -0.0,
                    3 => 1e30,
                    4..=12 => (r.below(9) as f64) - 4.0,
                    _ => (r.unit() - 0.5) * 6.0,
                };
                match dtype {
                    DType::F64 => bytes.extend(x.to_le_bytes()),
                    DType::F32 => bytes.extend((x as f32).to_le_bytes()),
                    DType::Bf16 => bytes.extend(&(x as f32).to_le_bytes()[2..]),
                    // Small numbers of float16, whose exponent has five bits.
                    DType::F16 => bytes.extend((r.next() as u16 & 0xbfff).to_le_bytes()),
                    DType::Bool => bytes.push(r.below(2) as u8),
                    _ => bytes.extend(&(r.below(9) as i64 - 2).to_le_bytes()[..dtype.size()]),
                }
            }
            bytes
        })
        .collect();
    all.push((0..FILL).map(|_| r.next() as u8).collect());
    all.push(vec![0xff; FILL]);
    all
}
