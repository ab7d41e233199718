//! The gradient of a recurrent layer: steps in the other order, each task first brings the gradient of its units' state
//! out of the gates' gradients of the step that came after, then finds those of its own step.

use super::*;

/// The row operands of the backward pass.
pub struct Backward<'a, C> {
    pub gx: Rows<'a, C>,
    /// What the state gave the gates: that of the input where the cell tells no difference.
    pub ga: Rows<'a, C>,
    pub before: Rows<'a, C>,
    pub gy: Rows<'a, C>,
    pub y: Rows<'a, C>,
    pub kept: Rows<'a, C>,
    pub cells: Rows<'a, C>,
}

impl<'a, C: Computed> Backward<'a, C> {
    pub fn new(
        call: &Call,
        cell: Cell,
        units: usize,
        steps: &'a Steps,
    ) -> Outcome<Backward<'a, C>> {
        let ([gx, ga, before, gh0, gc0], [gy, ghn, gcn, y, gates, cells, _, c0, ..]) =
            (call.outs(), call.ins())
        else {
            unreachable!()
        };
        for o in [gh0, ghn] {
            expect_state::<C>(call, o, steps.batch, units)?;
        }
        if cell == Cell::Lstm {
            for o in [gc0, gcn, c0] {
                expect_state::<C>(call, o, steps.batch, units)?;
            }
        }
        let rows = |o, width, what| Rows::<C>::new(call, o, steps, width, what);
        let gx = rows(gx, cell.gates() * units, "the input's gradient")?;
        let y = rows(y, units, "the output")?;
        Ok(Backward {
            gx,
            ga: match cell {
                Cell::Gru => rows(ga, cell.gates() * units, "the gates' gradient")?,
                _ => gx,
            },
            before: rows(before, units, "the states before")?,
            gy: rows(gy, units, "the output's gradient")?,
            y,
            kept: match cell.kept() {
                0 => y,
                n => rows(gates, n * units, "the kept gates")?,
            },
            cells: match cell {
                Cell::Lstm => rows(cells, units, "the kept cells")?,
                _ => y,
            },
        })
    }
}

/// Outputs gx (rows, G·H), ga (rows, G·H) of what the state gave the gates (a GRU only, else (0)), before (rows, H) the
/// state before each step, gh0 (B, H), gc0 (B, H); inputs gy (rows, H), ghn (B, H), gcn (B, H), y (rows, H),
/// gates (rows, S·H), cells (rows, H), h0 (B, H), c0 (B, H), w (G·H, H), sizes; (0) stands for what a cell does not
/// have. Scalars as forward.
pub fn backward<C: Computed>(call: &Call) -> Outcome {
    let ([.., before, gh0, gc0], [_, ghn, gcn, .., h0, c0, w, sizes]) = (call.outs(), call.ins())
    else {
        unreachable!()
    };
    let (cell, units, steps) = begin::<C>(call, [h0, w, before, sizes])?;
    let Backward {
        gx,
        ga,
        before,
        gy,
        y,
        kept,
        cells,
    } = Backward::<C>::new(call, cell, units, &steps)?;
    let (batch, g, lstm) = (steps.batch, cell.gates(), cell == Cell::Lstm);
    let (first_h, first_c) = (
        state::<C>(call, h0, batch, units)?,
        state::<C>(call, c0, batch, units)?,
    );
    let (of_h, of_c) = (
        state::<C>(call, ghn, batch, units)?,
        state::<C>(call, gcn, batch, units)?,
    );
    let (h0, c0) = (Shared(first_h.as_ptr::<C>()), Shared(first_c.as_ptr::<C>()));
    let (dh, dc) = (Shared(of_h.as_ptr::<C>()), Shared(of_c.as_ptr::<C>()));

    let blocks = Blocks::new::<C>(units, &steps);
    let room = columns_room::<C>(blocks.width, g * units);
    let packed_w = Scratch::new::<C>(blocks.columns() * room)?;
    let weights = Shared(packed_w.as_ptr::<C>());
    let (rs, cs) = (w.strides()[0], w.strides()[1]);
    for j in 0..blocks.columns() {
        let unit = j * blocks.width;
        let count = blocks.width.min(units - unit);
        let from = window(w, unit as isize * cs, (g * units, count), (rs, cs));
        // SAFETY: a window of the checked weights, and the room for it.
        unsafe { pack_columns(&from, weights.get().add(j * room)) };
    }
    // The gates' gradients, packed, of the step that came after and of this one.
    let size = rows_room(batch, g * units);
    let slopes = Scratch::new::<C>(2 * size)?;
    let slopes = Shared(slopes.as_ptr::<C>());
    // Brings the gradient of a task's units out of the gates' gradients of the i-th step.
    let through = |i: usize, task: usize| {
        let (unit, width, row, count) = blocks.of(task, steps.sizes[steps.step(i)]);
        if count == 0 {
            return;
        }
        // SAFETY: rows and units of this task only.
        unsafe {
            multiply(
                (count, width, g * units),
                Strips {
                    ptr: slopes.get().add(i % 2 * size + row * A_STRIDE).cast_const(),
                    step: batch * A_STRIDE,
                },
                Panels::packed(weights.get().add(unit / blocks.width * room), g * units),
                (dh.get().add(row * units + unit), units as isize),
                (<C as Real>::ONE, <C as Real>::ONE),
            );
        }
    };
    // The step that came after, whose number is i, and this one.
    let body = |i: usize, task: usize| {
        if i < steps.count() {
            through(i, task);
        }
        let Some(i) = i.checked_sub(1) else { return };
        let step = steps.step(i);
        let (unit, width, row, count) = blocks.of(task, steps.sizes[step]);
        if lstm && count > 0 {
            // SAFETY: rows and units of this task only.
            unsafe {
                let rows: [_; MOST_ROWS] = core::array::from_fn(|r| {
                    // Those past the last one are not used.
                    let r = row + r.min(count - 1);
                    let came = steps.before(i, r);
                    let first = r * units + unit;
                    let h = came.map_or(h0.get().add(first), |t| y.at(t, r).add(unit));
                    let c = came.map_or(c0.get().add(first), |t| cells.at(t, r).add(unit));
                    lstm::BackRow {
                        keep: kept.at(step, r).add(unit),
                        c: cells.at(step, r).add(unit),
                        c_before: c,
                        h,
                        before: before.at(step, r).add(unit),
                        g: gy.at(step, r).add(unit),
                        dh: dh.get().add(first),
                        dc: dc.get().add(first),
                        da: gx.at(step, r).add(unit),
                    }
                });
                let of = lstm::Units {
                    n: width,
                    units,
                    unit,
                    packed: slopes.get().add(i % 2 * size),
                    batch,
                    row,
                };
                return C::backward(&rows[..count], of);
            }
        }
        for r in row..row + count {
            // SAFETY: units of a row that belong to this task only.
            unsafe {
                let came = steps.before(i, r);
                let h = came
                    .map_or(h0.get().wrapping_add(r * units), |t| y.at(t, r))
                    .wrapping_add(unit);
                let up = gy.at(step, r).add(unit);
                let d = dh.get().add(r * units + unit);
                let (dx, da) = (gx.at(step, r).add(unit), ga.at(step, r).add(unit));
                let keep = kept.at(step, r).add(unit);
                match cell {
                    Cell::Tanh | Cell::Relu => {
                        cell::simple_back::<C>(keep, up, d, dx, width, cell == Cell::Relu)
                    }
                    _ => cell::gru_back::<C>(keep, h, up, d, dx, da, units, width),
                }
                core::ptr::copy_nonoverlapping(h.cast_const(), before.at(step, r).add(unit), width);
                for gate in 0..g {
                    let to = slopes.get().add(i % 2 * size);
                    put_packed(
                        to,
                        batch,
                        r,
                        gate * units + unit,
                        da.add(gate * units).cast_const(),
                        width,
                    );
                }
            }
        }
    };
    let work = |i: usize| steps.sizes[steps.step(i.saturating_sub(1))] * g * units * units;
    if steps.count() > 0 {
        blocks.walk((0..=steps.count()).rev(), work, body);
    }
    copy_states::<C>(gh0, batch, units, |r| dh.get().wrapping_add(r * units));
    if lstm {
        copy_states::<C>(gc0, batch, units, |r| dc.get().wrapping_add(r * units));
    }
    Ok(())
}
