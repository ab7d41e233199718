//! A step of only those rows of a parameter that have a gradient, where the others stand still: Adagrad without decay, to
//! which a zero gradient changes nothing, and SparseAdam, which is defined so.

use super::{Kind, MAXIMIZE, Real, Which, apart, counter, hyper, update, with_rule};
use crate::fault::Outcome;
use crate::instruction::Call;
use crate::ops::embedding::{Indices, used, with_float};
use crate::ops::map::Shared;
use crate::ops::optim::rules::Adagrad;
use crate::pool;

/// Rows that one thread takes at a time.
const CHUNK: usize = 16;

/// The rule, N and D of such a step, checked.
pub(super) fn checked(call: &Call) -> Outcome<(Which, usize, usize)> {
    let which = Which::new(call)?;
    call.require(
        matches!(which.kind, Kind::Adagrad | Kind::SparseAdam),
        || format!("kind {} has no form by rows", call.float(0)),
    )?;
    let operands = call.all();
    let per = which.states();
    call.require(operands.len() == 6 + per, || {
        format!(
            "{} operands where the rule has {per} states",
            operands.len()
        )
    })?;
    apart(call, |i| matches!(i, 0 | 4) || i >= 6)?;
    let table = &operands[0];
    let [n, d] = *table.dims() else {
        crate::bail!(
            "{}: the parameter has dims {:?}, not two",
            call.name,
            table.dims()
        )
    };
    let alike = |o: &crate::instruction::Operand| o.dims() == [n, d] && o.dtype == table.dtype;
    call.require(
        table.dtype.is_float() && operands[6..].iter().all(alike),
        || "a state differs from the parameter in dims or dtype".into(),
    )?;
    let (idx, values) = (Indices::new(call, operands, 1)?, &operands[2]);
    call.require(
        values.dims() == [idx.len, d] && values.dtype == table.dtype,
        || {
            format!(
                "gradient rows have dims {:?} for {} numbers and rows of {d}",
                values.dims(),
                idx.len
            )
        },
    )?;
    Ok((which, n, d))
}

/// Counts a step, and gives its factors.
pub(super) fn factors(call: &Call, which: Which) -> Outcome<[f64; 8]> {
    let h = hyper(call, &call.all()[5])?;
    let t = counter(call, &call.all()[4], 2)?;
    // SAFETY: `counter` checked the address.
    Ok(unsafe {
        *t += 1.0;
        which.factors_of_rules(&h, *t, &mut [])
    })
}

/// One step. out: parameter (N, D); ins: row numbers (R) that ascend, values (R, D) and count of the gradient, step
/// counts, hyperparameters, states. Scalars: kind, flags, the step count's index.
pub(super) fn step(call: &Call) -> Outcome {
    let (which, n, d) = checked(call)?;
    let operands = call.all();
    let (table, per) = (&operands[0], which.states());
    let idx = Indices::new(call, operands, 1)?;
    let count = used(call, &operands[3], idx.len)?;
    idx.check(count, n)?;
    call.require((1..count).all(|i| idx.get(i - 1) < idx.get(i)), || {
        "row numbers do not ascend".into()
    })?;
    let factors = factors(call, which)?;
    let sign = if which.has(MAXIMIZE) { -1.0 } else { 1.0 };
    let shared = Shared(operands);
    macro_rules! run {
        ($rule:ty) => {
            with_float!(table.dtype, E, C => {
                let k = factors.map(C::of);
                pool::parallel_ranges(count, CHUNK, &|part| {
                    for i in part {
                        let row = idx.get(i) as usize;
                        let place = |k: usize, row: usize| shared.get(k).ptr.cast::<E>().wrapping_add(row * d);
                        let state = |k: usize| if k < per { place(6 + k, row) } else { core::ptr::null_mut() };
                        let at = [place(0, row), place(2, i), state(0), state(1), state(2)];
                        // SAFETY: row numbers were checked and differ, so this thread alone has the row.
                        unsafe { update::<E, C, $rule>(at, d, &k, C::of(sign)) };
                    }
                });
            })
        };
    }
    if which.kind == Kind::Adagrad {
        run!(Adagrad);
    } else {
        let plain = Which {
            kind: Kind::Adam,
            flags: 0,
        };
        with_rule!(plain, K => run!(K));
    }
    Ok(())
}
