//! Rows of tables on CUDA; the kernels are in embedding.cu. Counts of rows in use stay on the device: kernels read them
//! there, and nothing waits.

use super::*;
use crate::cuda;
use crate::ops::grouping::{Few, Groups, Keys, View};
use crate::ops::map::cuda::suffix;
use crate::ops::walk::cuda::{launch, launch_in};

/// Row numbers as kernels see them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Numbers {
    data: u64,
    pub n: i64,
    dtype: i32,
    unused: i32,
}

impl Numbers {
    pub fn new(call: &Call, at: usize) -> Outcome<Numbers> {
        let numbers = Indices::new(call, call.all(), at)?;
        let o = &call.all()[at];
        Ok(Numbers {
            data: o.ptr as u64,
            n: numbers.len as i64,
            dtype: o.dtype as i32,
            unused: 0,
        })
    }

    const NONE: Numbers = Numbers {
        data: 0,
        n: 0,
        dtype: 0,
        unused: 0,
    };
}

/// Where a kernel puts what breaks a rule.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Notice {
    alarm: u64,
    opcode: u32,
    unused: u32,
}

impl Notice {
    pub fn of(call: &Call) -> Outcome<Notice> {
        Ok(Notice {
            alarm: cuda::gpu(call.device)?.alarm(),
            opcode: call.opcode,
            unused: 0,
        })
    }
}

/// The address of a count of rows, one int64.
pub fn count_at(call: &Call, count: &Operand) -> Outcome<u64> {
    call.require(count.dtype == DType::I64 && count.numel() == 1, || {
        "the count is not one int64".into()
    })?;
    Ok(count.ptr as u64)
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Gather {
    notice: Notice,
    numbers: Numbers,
    out: u64,
    table: u64,
    rows: i64,
    zero_row: i64,
    units: i64,
    row_step: i64,
    unit_step: i64,
    unit: i32,
    unused: i32,
}
const _: () = assert!(size_of::<Gather>() == 104);

pub fn gather(call: &Call) -> Outcome {
    let (out, table) = (&call.all()[0], &call.all()[1]);
    let (b, n, d) = gathered(call)?;
    let size = out.dtype.size();
    let (row_step, step) = (table.strides()[0], table.strides()[1]);
    // As wide units as rows and addresses allow.
    let dense = step == 1 || d <= 1;
    let fits = |unit: usize| {
        let stride = row_step.unsigned_abs() * size;
        [d * size, stride, out.ptr as usize, table.ptr as usize]
            .iter()
            .all(|x| x.is_multiple_of(unit))
    };
    let wide = [16, 8, 4, 2].into_iter().find(|&u| u > size && fits(u));
    let unit = wide.filter(|_| dense).unwrap_or(size);
    let units = d * size / unit;
    let a = Gather {
        notice: Notice::of(call)?,
        numbers: Numbers::new(call, 2)?,
        out: out.ptr as u64,
        table: table.ptr as u64,
        rows: n as i64,
        zero_row: call.int(0),
        units: units as i64,
        row_step: (row_step * size as isize / unit as isize) as i64,
        unit_step: if unit == size { step as i64 } else { 1 },
        unit: unit as i32,
        unused: 0,
    };
    launch(call, ("gather_rows", ""), b * units, &a)
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RowKeys {
    notice: Notice,
    first: Numbers,
    second: Numbers,
    first_count: u64,
    second_count: u64,
    rows: i64,
    padding: i64,
    keys: u64,
}
const _: () = assert!(size_of::<RowKeys>() == 104);

#[repr(C)]
#[derive(Clone, Copy)]
struct RowGroups {
    keys: RowKeys,
    few: Few,
}
const _: () = assert!(size_of::<RowGroups>() == 160);

#[repr(C)]
#[derive(Clone, Copy)]
struct RowSums {
    groups: View,
    rows_out: u64,
    count_out: u64,
    out: u64,
    room: i64,
    d: i64,
    first: u64,
    second: u64,
    first_n: i64,
    row_step: i64,
    column_step: i64,
    second_step: i64,
    dtype: i32,
    is_mean: i32,
}
const _: () = assert!(size_of::<RowSums>() == 128);

/// The groups of one list of rows, or of two with as many in use as their counts say.
fn grouped(
    call: &Call,
    [first, second]: [Numbers; 2],
    counts: [u64; 2],
    (rows, padding): (usize, i64),
) -> Outcome<Groups> {
    let n = (first.n + second.n) as usize;
    let keys = Keys::new(call, n)?;
    let a = RowKeys {
        notice: Notice::of(call)?,
        first,
        second,
        first_count: counts[0],
        second_count: counts[1],
        rows: rows as i64,
        padding,
        keys: keys.address(),
    };
    match keys.few(rows as u64)? {
        Ok((groups, few)) => {
            let gpu = cuda::gpu(call.device)?;
            let a = RowGroups { keys: a, few };
            // SAFETY: mirrors the kernel's parameter; every operand was checked and is held, as scratch memory is.
            unsafe { gpu.launch(("row_groups", ""), few.shape(), &a)? };
            Ok(groups)
        }
        Err(keys) => {
            launch(call, ("row_keys", ""), n, &a)?;
            Groups::new(call, keys, rows as u64)
        }
    }
}

pub fn sum(call: &Call) -> Outcome {
    let (room, d, b, n) = summed(call)?;
    let [idx_out, values, count, _, g] = call.all() else {
        unreachable!()
    };
    let first = Numbers::new(call, 3)?;
    let padding = call.int(1);
    let groups = grouped(call, [first, Numbers::NONE], [0; 2], (n, padding))?;
    let a = RowSums {
        groups: groups.view(),
        rows_out: idx_out.ptr as u64,
        count_out: count.ptr as u64,
        out: values.ptr as u64,
        room: room as i64,
        d: d as i64,
        first: g.ptr as u64,
        second: 0,
        first_n: b as i64,
        row_step: g.strides()[0] as i64,
        column_step: g.strides()[1] as i64,
        second_step: 0,
        dtype: g.dtype as i32,
        is_mean: i32::from(call.int(2) != 0),
    };
    let kernel = ("sum_rows", suffix(g.dtype.compute()));
    launch(call, kernel, (room * d).max(1), &a)
}

pub fn merge(call: &Call) -> Outcome {
    let (room, d) = merged(call)?;
    let [idx_out, values, count, _, va, ca, _, vb, cb] = call.all() else {
        unreachable!()
    };
    let (first, second) = (Numbers::new(call, 3)?, Numbers::new(call, 6)?);
    let counts = [count_at(call, ca)?, count_at(call, cb)?];
    // Which table the rows are of is not known here; none has more.
    let rows = (1 << 32, -1);
    let groups = grouped(call, [first, second], counts, rows)?;
    let a = RowSums {
        groups: groups.view(),
        rows_out: idx_out.ptr as u64,
        count_out: count.ptr as u64,
        out: values.ptr as u64,
        room: room as i64,
        d: d as i64,
        first: va.ptr as u64,
        second: vb.ptr as u64,
        first_n: first.n,
        row_step: d as i64,
        column_step: 1,
        second_step: d as i64,
        dtype: values.dtype as i32,
        is_mean: 0,
    };
    let kernel = ("sum_rows", suffix(values.dtype.compute()));
    launch(call, kernel, (room * d).max(1), &a)
}

#[repr(C)]
#[derive(Clone, Copy)]
struct AddRows {
    notice: Notice,
    numbers: Numbers,
    table: u64,
    values: u64,
    count: u64,
    rows: i64,
    d: i64,
    dtype: i32,
    unused: i32,
}
const _: () = assert!(size_of::<AddRows>() == 88);

pub fn add(call: &Call) -> Outcome {
    let (n, d) = added(call)?;
    let [table, _, values, count] = call.all() else {
        unreachable!()
    };
    let numbers = Numbers::new(call, 1)?;
    let a = AddRows {
        notice: Notice::of(call)?,
        numbers,
        table: table.ptr as u64,
        values: values.ptr as u64,
        count: count_at(call, count)?,
        rows: n as i64,
        d: d as i64,
        dtype: table.dtype as i32,
        unused: 0,
    };
    let kernel = ("add_rows", suffix(table.dtype.compute()));
    launch(call, kernel, numbers.n as usize * d, &a)
}

#[repr(C)]
#[derive(Clone, Copy)]
struct LimitRows {
    groups: View,
    table: u64,
    d: i64,
    most: f64,
    order: f64,
    dtype: i32,
    unused: i32,
}
const _: () = assert!(size_of::<LimitRows>() == 72);

pub fn limit(call: &Call) -> Outcome {
    let (n, d) = limited(call)?;
    let table = &call.all()[0];
    let numbers = Numbers::new(call, 1)?;
    let groups = grouped(call, [numbers, Numbers::NONE], [0; 2], (n, -1))?;
    let a = LimitRows {
        groups: groups.view(),
        table: table.ptr as u64,
        d: d as i64,
        most: call.float(0),
        order: call.float(1),
        dtype: table.dtype as i32,
        unused: 0,
    };
    launch_in(call, ("limit_rows", ""), numbers.n as usize, &a)
}
