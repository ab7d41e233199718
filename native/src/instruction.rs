//! The one instruction format: decode it, check every operand against its storage, run its row.
//!
//! All words are doubles. An instruction is
//!   [words, opcode, operands, scalars, operand…, scalar…]
//! with the outputs first among the operands. An operand is
//!   [handle, offset, dtype, ndim, dim…, stride…]   offset and strides in elements, or
//!   [-1, kind, a, b]                               a number in place: kind 0 a float (a), 1 an int64 (low, high)
//! and a scalar is [tag, a, b]: tag 0 a float, 1 a cell (handle, index of a float64), 2 an int64 (low, high).

use crate::bail;
use crate::device::Device;
use crate::dtype::DType;
use crate::fault::{Fault, Outcome};
use crate::memory::{self, Held};
use crate::ops;

/// More dims than this are refused in TypeScript already.
pub const MAX_DIMS: usize = 16;

/// One row of the opcode table.
#[derive(Clone, Copy)]
pub struct Row {
    pub name: &'static str,
    pub outs: usize,
    /// Fewest and most inputs.
    pub ins: (usize, usize),
    pub scalars: (usize, usize),
    /// An output may share elements with an input.
    pub alias: bool,
    /// The kernel on the CPU.
    pub run: fn(&Call) -> Outcome,
    /// What launches the kernel where the operands lie on a CUDA device.
    pub cuda: Option<fn(&Call) -> Outcome>,
}

/// What `lo` of a number in place is, which no storage's first byte can be.
const NUMBER: usize = usize::MAX;

/// A checked operand: every element that dims and strides reach lies inside a held storage.
#[derive(Clone, Debug)]
pub struct Operand {
    pub ptr: *mut u8,
    pub device: Device,
    pub dtype: DType,
    pub ndim: usize,
    dims: [usize; MAX_DIMS],
    strides: [isize; MAX_DIMS],
    /// Nobody has used its storage before this call, and no cache holds its memory.
    pub is_cold: bool,
    /// First and last byte that it reaches; empty when `lo > hi`.
    lo: usize,
    hi: usize,
}

impl Operand {
    const EMPTY: Operand = Operand {
        ptr: core::ptr::null_mut(),
        device: Device::CPU,
        dtype: DType::F32,
        ndim: 0,
        dims: [0; MAX_DIMS],
        strides: [0; MAX_DIMS],
        is_cold: false,
        lo: 1,
        hi: 0,
    };

    /// n elements side by side in device memory of a kernel's own.
    pub fn device_run(address: u64, device: Device, dtype: DType, n: usize) -> Operand {
        let mut o = Operand {
            ptr: address as *mut u8,
            device,
            dtype,
            ndim: 1,
            ..Operand::EMPTY
        };
        (o.dims[0], o.strides[0]) = (n, 1);
        o
    }

    /// Whether it is a number in the instruction, not a storage.
    pub fn is_number(&self) -> bool {
        self.lo == NUMBER
    }

    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.ndim]
    }

    pub fn strides(&self) -> &[isize] {
        &self.strides[..self.ndim]
    }

    pub fn numel(&self) -> usize {
        self.dims().iter().product()
    }

    /// Row-major without gaps.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1isize;
        for (&d, &s) in self.dims().iter().zip(self.strides()).rev() {
            if d != 1 && s != expected {
                return false;
            }
            expected *= d as isize;
        }
        true
    }

    /// Elements `start..start + length` of a dim; the caller checked that they are there.
    pub fn narrowed(&self, dim: usize, start: usize, length: usize) -> Operand {
        let mut window = self.clone();
        window.dims[dim] = length;
        if length > 0 {
            // Bytes, so that no type is needed; the address stays inside the storage.
            window.ptr = self
                .ptr
                .wrapping_offset(self.strides[dim] * start as isize * self.dtype.size() as isize);
        }
        window
    }

    /// Shares bytes with another operand.
    pub fn overlaps(&self, other: &Operand) -> bool {
        self.lo <= self.hi && other.lo <= other.hi && self.lo <= other.hi && other.lo <= self.hi
    }

    /// The very same elements in the same order.
    pub fn same_layout(&self, other: &Operand) -> bool {
        self.ptr == other.ptr
            && self.dtype == other.dtype
            && self.dims() == other.dims()
            && self.strides() == other.strides()
    }
}

impl Row {
    /// Runs the instruction where its operands lie.
    fn start(&self, call: &Call) -> Outcome {
        if call.device == Device::CPU {
            return (self.run)(call);
        }
        match self.cuda {
            Some(launch) => launch(call),
            None => Err(Fault::Device(format!(
                "{}: there is no CUDA kernel for it yet; it runs on the CPU",
                self.name
            ))),
        }
    }
}

/// A structural constant of an instruction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    Float(f64),
    Int(i64),
}

impl Scalar {
    pub fn float(self) -> f64 {
        match self {
            Scalar::Float(x) => x,
            Scalar::Int(i) => i as f64,
        }
    }

    pub fn int(self) -> i64 {
        match self {
            Scalar::Float(x) => x as i64,
            Scalar::Int(i) => i,
        }
    }
}

/// A decoded instruction on its way to its kernel.
pub struct Call {
    pub name: &'static str,
    /// The row's place in the table.
    pub opcode: u32,
    /// Where the operands lie.
    pub device: Device,
    outs: usize,
    /// How many of `operands` this instruction has; the vector only grows, so that nothing is made anew.
    count: usize,
    operands: Vec<Operand>,
    scalars: Vec<Scalar>,
    held: Vec<Held>,
    immediates: Vec<u64>,
}

impl Call {
    pub const fn new() -> Call {
        Call {
            name: "",
            opcode: 0,
            device: Device::CPU,
            outs: 0,
            count: 0,
            operands: Vec::new(),
            scalars: Vec::new(),
            held: Vec::new(),
            immediates: Vec::new(),
        }
    }

    pub fn outs(&self) -> &[Operand] {
        &self.operands[..self.outs]
    }

    pub fn ins(&self) -> &[Operand] {
        &self.operands[self.outs..self.count]
    }

    /// All operands, outputs first.
    pub fn all(&self) -> &[Operand] {
        &self.operands[..self.count]
    }

    pub fn scalars(&self) -> &[Scalar] {
        &self.scalars
    }

    pub fn float(&self, i: usize) -> f64 {
        self.scalars[i].float()
    }

    pub fn int(&self, i: usize) -> i64 {
        self.scalars[i].int()
    }

    /// Scalar `i` as a number of things: whole and not negative.
    pub fn count(&self, i: usize) -> Outcome<usize> {
        let x = self.scalars[i].float();
        if x >= 0.0 && x < (1u64 << 53) as f64 && x.fract() == 0.0 {
            Ok(x as usize)
        } else {
            bail!("{}: scalar {i} is {x}, not a count", self.name)
        }
    }

    /// Scalar `i` as an element type.
    pub fn dtype(&self, i: usize) -> Outcome<DType> {
        let x = self.scalars[i].float();
        match DType::from_code(x) {
            Some(d) => Ok(d),
            None => bail!("{}: scalar {i} is {x}, not a dtype", self.name),
        }
    }

    /// The same call on copies of its operands in the process's memory; operand i, which is contiguous, lies at `place(i)`.
    pub fn on_host(&self, place: impl Fn(usize) -> *mut u8) -> Call {
        let moved = |(i, o): (usize, &Operand)| Operand {
            ptr: place(i),
            device: Device::CPU,
            ..o.clone()
        };
        Call {
            device: Device::CPU,
            operands: self.all().iter().enumerate().map(moved).collect(),
            scalars: self.scalars.clone(),
            held: Vec::new(),
            immediates: Vec::new(),
            ..*self
        }
    }

    /// Fails with the op's name and the text unless the rule holds.
    pub fn require(&self, holds: bool, rule: impl FnOnce() -> String) -> Outcome {
        if holds {
            Ok(())
        } else {
            bail!("{}: {}", self.name, rule())
        }
    }
}

impl Default for Call {
    fn default() -> Call {
        Call::new()
    }
}

/// A position in the words of a buffer.
struct Reader<'a> {
    words: &'a [f64],
    at: usize,
}

impl Reader<'_> {
    #[inline(always)]
    fn word(&mut self, what: &str) -> Outcome<f64> {
        match self.words.get(self.at) {
            Some(&w) => {
                self.at += 1;
                Ok(w)
            }
            None => bail!("the instruction ends where its {what} should be"),
        }
    }

    #[inline(always)]
    fn count(&mut self, what: &str, most: usize) -> Outcome<usize> {
        let w = self.word(what)?;
        // The cast saturates, so a NaN, a fraction or a negative number does not survive the way back.
        let n = w as usize;
        if n as f64 == w && n <= most {
            Ok(n)
        } else {
            bail!("{what} is {w}, not a whole number from 0 to {most}")
        }
    }

    #[inline(always)]
    fn whole(&mut self, what: &str) -> Outcome<i64> {
        let w = self.word(what)?;
        let n = w as i64;
        if n as f64 == w && n.unsigned_abs() < 1 << 53 {
            Ok(n)
        } else {
            bail!("{what} is {w}, not a whole number below 2^53")
        }
    }

    fn int64(&mut self) -> Outcome<i64> {
        let low = self.count("the low half of an int64", u32::MAX as usize)?;
        let high = self.count("the high half of an int64", u32::MAX as usize)?;
        Ok(((high as u64) << 32 | low as u64) as i64)
    }
}

/// Runs every instruction in `words`, in order.
pub fn execute(words: &[f64], call: &mut Call) -> Outcome {
    if words.is_empty() {
        bail!("the instruction buffer is empty");
    }
    let mut at = 0;
    while at < words.len() {
        let mut head = Reader { words, at };
        let length = head.count("the instruction's length", words.len() - at)?;
        if length < 4 {
            bail!("the instruction's length is {length}, below the 4 words of its head");
        }
        let result = decode(&words[at..at + length], call).and_then(|row| row.start(call));
        call.held.clear();
        result?;
        at += length;
    }
    Ok(())
}

fn decode(words: &[f64], call: &mut Call) -> Outcome<&'static Row> {
    let mut r = Reader { words, at: 1 };
    let table = ops::table();
    let opcode = r.word("opcode")?;
    let Some(row) = table
        .get(opcode as usize)
        .filter(|_| opcode as usize as f64 == opcode)
    else {
        bail!("opcode {opcode} is not one of the {} opcodes", table.len());
    };
    call.name = row.name;
    call.opcode = opcode as u32;
    call.outs = row.outs;
    let operands = r.count("the number of operands", words.len())?;
    let scalars = r.count("the number of scalars", words.len())?;
    let ins = operands.wrapping_sub(row.outs);
    if operands < row.outs || ins < row.ins.0 || ins > row.ins.1 {
        bail!(
            "{}: {operands} operands, but it takes {} outputs and {} to {} inputs",
            row.name,
            row.outs,
            row.ins.0,
            row.ins.1
        );
    }
    if scalars < row.scalars.0 || scalars > row.scalars.1 {
        bail!(
            "{}: {scalars} scalars, but it takes {} to {}",
            row.name,
            row.scalars.0,
            row.scalars.1
        );
    }
    call.held.clear();
    call.immediates.clear();
    call.immediates.reserve(operands);
    if call.operands.len() < operands {
        call.operands.resize(operands, Operand::EMPTY);
    }
    call.count = operands;
    let (mut device, mut lie_apart) = (None, false);
    for i in 0..operands {
        operand(&mut r, call, i).map_err(|f| named(row.name, f))?;
        let of = call.operands[i].device;
        if call.operands[i].is_number() {
            continue;
        }
        lie_apart |= of != *device.get_or_insert(of);
    }
    call.device = match device {
        Some(_) if lie_apart => common_device(row.name, call.all())?,
        one => one.unwrap_or(Device::CPU),
    };
    call.scalars.clear();
    for _ in 0..scalars {
        let tag = r.count("a scalar's tag", 2)?;
        let scalar = match tag {
            0 => {
                let x = r.word("a scalar")?;
                r.word("a scalar")?;
                Scalar::Float(x)
            }
            1 => {
                let handle = r.word("a cell's handle")?;
                let index = r.count("a cell's index", 1 << 40)?;
                let held = memory::hold(handle).map_err(|f| named(row.name, f))?;
                if (index + 1) * 8 > held.bytes {
                    bail!(
                        "{}: cell {index} lies outside its storage of {} bytes",
                        row.name,
                        held.bytes
                    );
                }
                // SAFETY: the storage is held, aligned to 64 bytes, and cell `index` lies inside.
                Scalar::Float(unsafe { *held.address.cast::<f64>().add(index) })
            }
            _ => Scalar::Int(r.int64()?),
        };
        call.scalars.push(scalar);
    }
    if r.at != words.len() {
        bail!(
            "{}: the instruction has {} words, but {} are used",
            row.name,
            words.len(),
            r.at
        );
    }
    for (o, out) in call.outs().iter().enumerate() {
        if writes_twice(out) {
            bail!(
                "{}: output {o} writes an element twice (dims {:?}, strides {:?})",
                row.name,
                out.dims(),
                out.strides()
            );
        }
        for (i, other) in call.all().iter().enumerate() {
            if i != o && out.overlaps(other) && (i < row.outs || !row.alias) {
                bail!("{}: output {o} overlaps operand {i}", row.name);
            }
        }
    }
    Ok(row)
}

/// Where an instruction runs whose operands lie on more devices than one: only a transfer's may, and numbers of an
/// optimiser that stay in the process's memory.
#[cold]
fn common_device(row: &str, operands: &[Operand]) -> Outcome<Device> {
    let mut device = None;
    for (i, o) in operands.iter().enumerate() {
        let stays = o.device == Device::CPU && ops::optim::stays(row, i);
        if o.is_number() || stays {
            continue;
        }
        let (of, first) = (o.device, *device.get_or_insert(o.device));
        if first != of && row != ops::transfer::NAME {
            return Err(Fault::Device(format!(
                "{row}: operand {i} lies on {of}, others on {first}: they must be on one device"
            )));
        }
    }
    Ok(device.unwrap_or(Device::CPU))
}

fn named(name: &str, fault: Fault) -> Fault {
    match fault {
        Fault::Invalid(t) => Fault::Invalid(format!("{name}: {t}")),
        other => other,
    }
}

fn operand(r: &mut Reader, call: &mut Call, i: usize) -> Outcome {
    let handle = r.word("an operand's handle")?;
    let o = &mut call.operands[i];
    if handle == -1.0 {
        if i < call.outs {
            bail!("output {i} is a number, not a storage");
        }
        let kind = r.count("the kind of a number", 1)?;
        let bits = if kind == 0 {
            let x = r.word("a number")?;
            r.word("a number")?;
            o.dtype = DType::F64;
            x.to_bits()
        } else {
            o.dtype = DType::I64;
            r.int64()? as u64
        };
        call.immediates.push(bits);
        // The vector was reserved for all operands, so it does not move.
        o.ptr = core::ptr::from_ref(&call.immediates[call.immediates.len() - 1])
            .cast_mut()
            .cast();
        o.ndim = 0;
        o.device = Device::CPU;
        o.is_cold = false;
        (o.lo, o.hi) = (NUMBER, 0);
        return Ok(());
    }
    let offset = r.count("an offset", 1 << 52)? as i64;
    let code = r.word("a dtype")?;
    let Some(dtype) = DType::from_code(code) else {
        bail!("operand {i} has dtype {code}, which is none of the ten");
    };
    let ndim = r.count("the number of dims", MAX_DIMS)?;
    let (mut low, mut high, mut empty) = (offset, offset, false);
    let mut numel = 1usize;
    for d in 0..ndim {
        let dim = r.count("a dim", 1 << 52)?;
        o.dims[d] = dim;
        empty |= dim == 0;
        // Kernels multiply dims without looking: stretched ones can have any size.
        numel = numel.saturating_mul(dim.max(1));
    }
    if numel > 1 << 52 {
        bail!("operand {i} has more than 2^52 elements");
    }
    for d in 0..ndim {
        let stride = r.whole("a stride")?;
        o.strides[d] = stride as isize;
        let reach = stride.checked_mul(o.dims[d] as i64 - 1);
        let sum = reach.and_then(|x| {
            if x < 0 {
                low.checked_add(x)
            } else {
                high.checked_add(x)
            }
        });
        match (sum, reach) {
            _ if empty => {}
            (Some(s), Some(x)) if x < 0 => low = s,
            (Some(s), _) => high = s,
            _ => bail!("operand {i} reaches past 2^63"),
        }
    }
    let held = memory::hold_anywhere(handle)?;
    o.device = held.device;
    o.is_cold = held.is_cold;
    let size = dtype.size() as i64;
    let inside = low >= 0
        && high
            .checked_add(1)
            .and_then(|h| h.checked_mul(size))
            .is_some_and(|h| h <= held.bytes as i64);
    if !empty && !inside {
        bail!(
            "operand {i} reaches elements {low} to {high} of {} ({} bytes), outside its storage of {} bytes",
            dtype.name(),
            size,
            held.bytes
        );
    }
    o.dtype = dtype;
    o.ndim = ndim;
    if empty {
        o.ptr = held.address;
        (o.lo, o.hi) = (1, 0);
    } else {
        // The offset was just found to lie inside the storage.
        o.ptr = held.address.wrapping_add((offset * size) as usize);
        o.lo = held.address as usize + (low * size) as usize;
        o.hi = held.address as usize + ((high + 1) * size) as usize - 1;
    }
    call.held.push(held);
    Ok(())
}

/// Whether two indices of an output may meet in one element.
fn writes_twice(o: &Operand) -> bool {
    if o.lo > o.hi || o.is_contiguous() {
        return false;
    }
    let mut order: [usize; MAX_DIMS] = core::array::from_fn(|i| i);
    let order = &mut order[..o.ndim];
    order.sort_unstable_by_key(|&i| o.strides[i].unsigned_abs());
    let mut reach = 0usize;
    for &d in order.iter() {
        if o.dims[d] == 1 {
            continue;
        }
        let stride = o.strides[d].unsigned_abs();
        if stride <= reach {
            return true;
        }
        reach += stride * (o.dims[d] - 1);
    }
    false
}
