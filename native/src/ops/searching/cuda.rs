//! Searching and groups of rows on CUDA; the kernels are in searching.cu.

use super::{Search, among, room_for_count, room_for_groups, rows_in_order, rows_into};
use crate::cuda::{self, Scratch, Shape};
use crate::dtype::{Compute, DType};
use crate::fault::Outcome;
use crate::instruction::{Call, Operand};
use crate::ops::lines::{Lines, Part, THREADS};
use crate::ops::map::cuda::{bits, number};
use crate::ops::{scan, sorting};

fn blocks(things: usize) -> usize {
    things.div_ceil(THREADS as usize)
}

pub fn searchsorted(call: &Call) -> Outcome {
    let (out, seq, values) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let search = Search::new(call)?;
    let parts = [
        Part::of(out),
        if values.is_number() {
            Part::NONE
        } else {
            Part::with(values, &search.place)
        },
        Part::with(seq, &search.along),
        call.ins()
            .get(2)
            .map_or(Part::NONE, |sorter| Part::with(sorter, &search.order)),
    ];
    let mut lines = Lines::new(call, out.dims(), |_| true, &parts)?;
    let value = if values.is_number() {
        f64::from_bits(bits(number(values), search.compute))
    } else {
        0.0
    };
    let right = f64::from(call.count(0)? as u32);
    let steps = [search.step as f64, search.order_step as f64];
    lines.numbers[..5].copy_from_slice(&[search.length as f64, steps[0], steps[1], right, value]);
    if lines.length() == 0 {
        return Ok(());
    }
    lines.launch_in(
        call,
        "searchsorted",
        search.compute,
        blocks(lines.length()),
        THREADS,
    )
}

pub fn isin(call: &Call) -> Outcome {
    let (out, x, test) = among(call)?;
    let compute = call.dtype(0)?.compute();
    let parts = [Part::of(out), Part::of(x), Part::with(test, &[])];
    let mut lines = Lines::new(call, x.dims(), |_| true, &parts)?;
    let (n, step) = (test.dims()[0] as f64, test.strides()[0] as f64);
    lines.numbers[..3].copy_from_slice(&[n, step, f64::from(call.count(1)? as u32)]);
    if lines.length() == 0 {
        return Ok(());
    }
    lines.launch_in(call, "isin", compute, blocks(lines.length()), THREADS)
}

pub fn sort_rows(call: &Call) -> Outcome {
    let (out, x) = (&call.outs()[0], &call.ins()[0]);
    rows_into(call, out, x)?;
    sorting::cuda::sort_rows(call, out, x)
}

/// What kernels are given; mirrors Groups in searching.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Groups {
    x: u64,
    order: u64,
    number: u64,
    starts: u64,
    firsts: u64,
    inverse: u64,
    counts: u64,
    order_step: i64,
    first_step: i64,
    inverse_step: i64,
    count_step: i64,
    rows: i64,
    width: i64,
    row_step: i64,
    column_step: i64,
    groups: i64,
    alarm: u64,
    opcode: u32,
    dtype: i32,
}
const _: () = assert!(size_of::<Groups>() == 144);

/// Numbers the groups of the rows: what kernels are given, and the memory of the numbers and of as many starts as asked for.
fn numbered(call: &Call, groups: usize) -> Outcome<(Groups, Scratch)> {
    let (x, order) = (&call.ins()[0], &call.ins()[1]);
    let (n, width) = rows_in_order(call, x, order)?;
    let gpu = cuda::gpu(call.device)?;
    let memory = Scratch::new(gpu, (n + groups) * 8)?;
    let arguments = Groups {
        x: x.ptr as u64,
        order: order.ptr as u64,
        number: memory.address(),
        starts: memory.address() + (n * 8) as u64,
        firsts: 0,
        inverse: 0,
        counts: 0,
        order_step: order.strides()[0] as i64,
        first_step: 0,
        inverse_step: 0,
        count_step: 0,
        rows: n as i64,
        width: width as i64,
        row_step: x.strides()[0] as i64,
        column_step: x.strides()[1] as i64,
        groups: groups as i64,
        alarm: gpu.alarm(),
        opcode: call.opcode,
        dtype: x.dtype as i32,
    };
    if n > 0 {
        let suffix = match x.dtype.compute() {
            Compute::I64 => "_i64",
            _ => "_f64",
        };
        launch(call, ("group_starts", suffix), &arguments, n)?;
        scan::cuda::running_sums(call, memory.address(), DType::I64, [1, n])?;
    }
    Ok((arguments, memory))
}

fn launch(
    call: &Call,
    kernel: (&'static str, &'static str),
    arguments: &Groups,
    things: usize,
) -> Outcome {
    let gpu = cuda::gpu(call.device)?;
    let shape = Shape::line(cuda::blocks_for(blocks(things), 1, gpu), THREADS);
    // SAFETY: mirrors the kernels'; operands were checked and are held, the memory has the sizes that they use.
    unsafe { gpu.launch(kernel, shape, arguments) }
}

pub fn unique_count(call: &Call) -> Outcome {
    let out = room_for_count(call)?;
    let (mut arguments, _memory) = numbered(call, 0)?;
    arguments.counts = out.ptr as u64;
    launch(call, ("group_count", "_all"), &arguments, 1)
}

pub fn unique(call: &Call) -> Outcome {
    let [firsts, inverse, counts] = room_for_groups(call)?;
    let groups = firsts.numel();
    let (mut arguments, _memory) = numbered(call, groups)?;
    let step = |o: &Operand| o.strides()[0] as i64;
    (arguments.firsts, arguments.first_step) = (firsts.ptr as u64, step(firsts));
    (arguments.inverse, arguments.inverse_step) = (inverse.ptr as u64, step(inverse));
    (arguments.counts, arguments.count_step) = (counts.ptr as u64, step(counts));
    let rows = arguments.rows as usize;
    launch(call, ("group_members", "_all"), &arguments, rows)?;
    launch(call, ("group_sizes", "_all"), &arguments, groups)
}
