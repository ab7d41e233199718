//! Recurrent layers on CUDA: the kernels of recurrent.cu, one launch for each step.

use super::backward::Backward;
use super::*;
use crate::cuda::{Scratch as DeviceScratch, Shape, gpu};
use crate::ops::map::cuda::suffix;

/// As in recurrent.cu.
const THREADS: u32 = 256;
const WIDTH: usize = 32;
/// The most that the grid has along y.
const MOST: usize = 65_535;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RowsOf {
    data: u64,
    stride: i64,
}

impl RowsOf {
    fn at<C: Real>(rows: &Rows<C>, step: usize) -> RowsOf {
        RowsOf {
            data: rows.at(step, 0) as u64,
            stride: rows.row as i64,
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct State {
    data: u64,
    row: i64,
    column: i64,
}

impl State {
    /// A state or the weights; one of dims (0) is null.
    fn of(o: &Operand) -> State {
        if o.ndim != 2 {
            return State::default();
        }
        State {
            data: o.ptr as u64,
            row: o.strides()[0] as i64,
            column: o.strides()[1] as i64,
        }
    }
}

/// Mirrors Step in recurrent.cu.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Step {
    rows: i64,
    begun: i64,
    batch: i64,
    units: i64,
    x: RowsOf,
    y: RowsOf,
    keep: RowsOf,
    cells: RowsOf,
    y_before: RowsOf,
    cells_before: RowsOf,
    h0: State,
    c0: State,
    hn: State,
    cn: State,
    w: State,
    bias: u64,
    bias_stride: i64,
    cell: i32,
    unused: i32,
}
const _: () = assert!(size_of::<Step>() == 272);

/// Mirrors Back in recurrent.cu.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Back {
    rows: i64,
    begun: i64,
    after_rows: i64,
    batch: i64,
    units: i64,
    after: RowsOf,
    gx: RowsOf,
    ga: RowsOf,
    before: RowsOf,
    gy: RowsOf,
    y: RowsOf,
    keep: RowsOf,
    cells: RowsOf,
    y_before: RowsOf,
    cells_before: RowsOf,
    dh: State,
    dc: State,
    h0: State,
    c0: State,
    w: State,
    gh0: State,
    gc0: State,
    cell: i32,
    is_last: i32,
}
const _: () = assert!(size_of::<Back>() == 376);

/// Mirrors Copy in recurrent.cu.
#[repr(C)]
#[derive(Clone, Copy)]
struct Copying {
    rows: i64,
    units: i64,
    to: State,
    from: State,
}
const _: () = assert!(size_of::<Copying>() == 64);

/// Blocks of 32 rows by 32 units.
fn shape(call: &Call, rows: usize, units: usize) -> Outcome<Shape> {
    let rows = rows.div_ceil(WIDTH);
    call.require(rows <= MOST, || {
        format!("a batch of {rows} times {WIDTH} rows is more than a kernel can count")
    })?;
    Ok(Shape {
        grid: [units.div_ceil(WIDTH) as u32, rows.max(1) as u32, 1],
        threads: THREADS,
        shared: 0,
    })
}

fn copy<C: Computed>(call: &Call, batch: usize, units: usize, to: State, from: State) -> Outcome {
    let gpu = gpu(call.device)?;
    let copying = Copying {
        rows: batch as i64,
        units: units as i64,
        to,
        from,
    };
    let blocks = crate::cuda::blocks_for(batch * units, THREADS as usize, gpu);
    let name = ("recurrent_copy", suffix(C::COMPUTE));
    // SAFETY: the argument mirrors the kernel's, and names states of these sizes.
    unsafe { gpu.launch(name, Shape::line(blocks, THREADS), &copying) }
}

/// The step that the i-th comes from, and how many of its rows do.
fn origin(steps: &Steps, i: usize) -> Option<(usize, usize)> {
    let before = steps.step(i.checked_sub(1)?);
    Some((before, steps.sizes[before].min(steps.sizes[steps.step(i)])))
}

pub fn forward<C: Computed>(call: &Call) -> Outcome {
    let ([out, hn, cn, ..], [_, h0, c0, w, b, sizes]) = (call.outs(), call.ins()) else {
        unreachable!()
    };
    let (cell, units, steps) = begin::<C>(call, [h0, w, out, sizes])?;
    let f = Forward::<C>::new(call, cell, units, &steps)?;
    let batch = steps.batch;
    if steps.count() == 0 {
        copy::<C>(call, batch, units, State::of(hn), State::of(h0))?;
        if cell == Cell::Lstm {
            copy::<C>(call, batch, units, State::of(cn), State::of(c0))?;
        }
        return Ok(());
    }
    let stem = match cell {
        Cell::Tanh | Cell::Relu => "recurrent_1",
        Cell::Gru => "recurrent_3",
        Cell::Lstm => "recurrent_4",
    };
    let gpu = gpu(call.device)?;
    for i in 0..steps.count() {
        let step = steps.step(i);
        let at = |rows: &Option<Rows<C>>, step: usize| {
            rows.as_ref()
                .map_or(RowsOf::default(), |rows| RowsOf::at(rows, step))
        };
        let (before, begun) = origin(&steps, i).unwrap_or((step, 0));
        let has_bias = b.dims() != [0];
        let arguments = Step {
            rows: steps.sizes[step] as i64,
            begun: begun as i64,
            batch: batch as i64,
            units: units as i64,
            x: RowsOf::at(&f.x, step),
            y: RowsOf::at(&f.y, step),
            keep: at(&f.kept, step),
            cells: at(&f.cells, step),
            y_before: RowsOf::at(&f.y, before),
            cells_before: at(&f.cells, before),
            h0: State::of(h0),
            c0: State::of(c0),
            hn: State::of(hn),
            cn: State::of(cn),
            w: State::of(w),
            bias: if has_bias { b.ptr as u64 } else { 0 },
            bias_stride: if has_bias { b.strides()[0] as i64 } else { 0 },
            cell: cell as i32,
            unused: 0,
        };
        let shape = shape(call, steps.sizes[step], units)?;
        // SAFETY: the argument mirrors the kernel's; every operand was checked and is held.
        unsafe { gpu.launch((stem, suffix(C::COMPUTE)), shape, &arguments)? };
    }
    Ok(())
}

pub fn backward<C: Computed>(call: &Call) -> Outcome {
    let ([.., before, gh0, gc0], [_, ghn, gcn, .., h0, c0, w, sizes]) = (call.outs(), call.ins())
    else {
        unreachable!()
    };
    let (cell, units, steps) = begin::<C>(call, [h0, w, before, sizes])?;
    let p = Backward::<C>::new(call, cell, units, &steps)?;
    let batch = steps.batch;
    let gpu = gpu(call.device)?;
    let scratch = |from: &Operand| -> Outcome<(DeviceScratch, State)> {
        if from.ndim != 2 {
            return Ok((DeviceScratch::new(gpu, 0)?, State::default()));
        }
        let area = DeviceScratch::new(gpu, batch * units * size_of::<C>())?;
        let state = State {
            data: area.address(),
            row: units as i64,
            column: 1,
        };
        copy::<C>(call, batch, units, state, State::of(from))?;
        Ok((area, state))
    };
    let (_held_h, dh) = scratch(ghn)?;
    let (_held_c, dc) = if cell == Cell::Lstm {
        scratch(gcn)?
    } else {
        (DeviceScratch::new(gpu, 0)?, State::default())
    };
    let stem = match cell {
        Cell::Tanh | Cell::Relu => "recurrent_grad_1",
        Cell::Gru => "recurrent_grad_3",
        Cell::Lstm => "recurrent_grad_4",
    };
    let common = Back {
        batch: batch as i64,
        units: units as i64,
        dh,
        dc,
        h0: State::of(h0),
        c0: State::of(c0),
        w: State::of(w),
        gh0: State::of(gh0),
        gc0: State::of(gc0),
        cell: cell as i32,
        ..Back::default()
    };
    let mut after = (RowsOf::default(), 0);
    for i in (0..steps.count()).rev() {
        let step = steps.step(i);
        let rows = steps.sizes[step];
        let (before, begun) = origin(&steps, i).unwrap_or((step, 0));
        let at = |rows: &Rows<C>, step: usize| RowsOf::at(rows, step);
        let arguments = Back {
            rows: rows as i64,
            begun: begun as i64,
            after_rows: after.1 as i64,
            after: after.0,
            gx: at(&p.gx, step),
            ga: at(&p.ga, step),
            before: at(&p.before, step),
            gy: at(&p.gy, step),
            y: at(&p.y, step),
            keep: at(&p.kept, step),
            cells: at(&p.cells, step),
            y_before: at(&p.y, before),
            cells_before: at(&p.cells, before),
            ..common
        };
        let shape = shape(call, rows.max(after.1), units)?;
        // SAFETY: the argument mirrors the kernel's; every operand was checked and is held.
        unsafe { gpu.launch((stem, suffix(C::COMPUTE)), shape, &arguments)? };
        after = (at(&p.ga, step), rows);
    }
    let arguments = Back {
        after_rows: after.1 as i64,
        after: after.0,
        is_last: 1,
        ..common
    };
    let shape = shape(call, batch, units)?;
    // SAFETY: as above.
    unsafe { gpu.launch((stem, suffix(C::COMPUTE)), shape, &arguments) }
}
