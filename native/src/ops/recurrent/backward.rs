//! The gradient of a recurrent layer: steps in the other order, each task first brings the gradient of its units' state
//! out of the gates' gradients of the step that came after, then finds those of its own step.

use super::*;

/// Outputs gx (rows, G·H), ga (rows, G·H) of what the state gave the gates (a GRU only, else (0)), before (rows, H) the
/// state before each step, gh0 (B, H), gc0 (B, H); inputs gy (rows, H), ghn (B, H), gcn (B, H), y (rows, H),
/// gates (rows, S·H), cells (rows, H), h0 (B, H), c0 (B, H), w (G·H, H), sizes; (0) stands for what a cell does not
/// have. Scalars as forward.
pub fn backward<C: Computed>(call: &Call) -> Outcome {
    let ([gx, ga, before, gh0, gc0], [gy, ghn, gcn, y, gates, cells, h0, c0, w, sizes]) =
        (call.outs(), call.ins())
    else {
        unreachable!()
    };
    let cell = Cell::from(call)?;
    let (batch, units) = match *h0.dims() {
        [b, h] => (b, h),
        _ => bail!("{}: a state of dims {:?}", call.name, h0.dims()),
    };
    call.require(batch > 0 && units > 0, || {
        format!("a state of dims {:?}", h0.dims())
    })?;
    let steps = Steps::new(call, before, sizes, batch, call.float(1) != 0.0)?;
    let g = cell.gates();
    call.require(
        w.dims() == [g * units, units] && w.dtype == C::DTYPE,
        || format!("weights of dims {:?} for {units} units", w.dims()),
    )?;
    let lstm = cell == Cell::Lstm;
    expect_state::<C>(call, gh0, batch, units)?;
    expect_state::<C>(call, ghn, batch, units)?;
    if lstm {
        for o in [gc0, gcn, c0] {
            expect_state::<C>(call, o, batch, units)?;
        }
    }
    let gx = Rows::<C>::new(call, gx, &steps, g * units, "the input's gradient")?;
    let ga = match cell {
        Cell::Gru => Rows::<C>::new(call, ga, &steps, g * units, "the gates' gradient")?,
        _ => gx,
    };
    let before = Rows::<C>::new(call, before, &steps, units, "the states before")?;
    let gy = Rows::<C>::new(call, gy, &steps, units, "the output's gradient")?;
    let y = Rows::<C>::new(call, y, &steps, units, "the output")?;
    let kept = match cell.kept() {
        0 => y,
        n => Rows::<C>::new(call, gates, &steps, n * units, "the kept gates")?,
    };
    let cells = if lstm {
        Rows::<C>::new(call, cells, &steps, units, "the kept cells")?
    } else {
        y
    };
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

    let blocks = Blocks::new::<C>(units, batch);
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
    for i in (0..steps.count()).rev() {
        let step = steps.step(i);
        let rows = steps.sizes[step];
        let body = |task: usize| {
            if i + 1 < steps.count() {
                through(i + 1, task);
            }
            let (unit, width, row, count) = blocks.of(task, rows);
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
                        Cell::Lstm => {
                            let c =
                                came.map_or(c0.get().wrapping_add(r * units), |t| cells.at(t, r));
                            let now = cells.at(step, r).add(unit);
                            let dc = dc.get().add(r * units + unit);
                            cell::lstm_back::<C>(
                                keep,
                                now,
                                c.add(unit),
                                up,
                                d,
                                dc,
                                dx,
                                units,
                                width,
                            );
                        }
                        Cell::Gru => cell::gru_back::<C>(keep, h, up, d, dx, da, units, width),
                    }
                    core::ptr::copy_nonoverlapping(
                        h.cast_const(),
                        before.at(step, r).add(unit),
                        width,
                    );
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
        run(blocks.tasks(), rows * g * units * units, &body);
    }
    if steps.count() > 0 {
        let rows = steps.sizes[steps.step(0)];
        run(blocks.tasks(), rows * g * units * units, &|task| {
            through(0, task)
        });
    }
    copy_states::<C>(gh0, batch, units, |r| dh.get().wrapping_add(r * units));
    if lstm {
        copy_states::<C>(gc0, batch, units, |r| dc.get().wrapping_add(r * units));
    }
    Ok(())
}
