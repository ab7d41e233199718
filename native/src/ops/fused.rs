//! Several elementwise ops in one pass: operands are read once, the result is written once, and what lies between
//! stays in the first-level cache. Each step runs the kernel that the op has on its own, and is rounded to the
//! operands' type as the op's result would be, so the bits are the same.

use crate::fault::Outcome;
use crate::instruction::{Call, Operand, Row, Scalar};
use crate::ops::map::{self, Kernel, Map, Pick, Shared, Space};
use crate::ops::nest::Place;
use crate::ops::{activation, pointwise, special};
use crate::{bail, pool, stream, with_compute};
use core::mem::MaybeUninit;
use std::sync::OnceLock;

/// Tensors that a chain reads at most.
const LEAVES: usize = 8;
/// Ops in a chain at most.
const STEPS: usize = 8;
/// Operands of a step, and numbers beside them, at most.
const ARGUMENTS: usize = 3;
const NUMBERS: usize = 4;
/// Elements in the cache at a time: those of all steps and leaves fit.
const CHUNK: usize = 512;
const GRAIN: usize = 32 * 1024;

/// Operands: the result, then the leaves, all of one floating-point type and one length, and contiguous; a leaf may also be
/// one number that is repeated, with stride 0. Scalars: the
/// number of steps, then for each its opcode, its arguments (how many, and for each either a place, leaves first and
/// then the steps before, or -1 and a number) and its numbers (how many, and they).
pub const ROWS: &[Row] = &[Row {
    name: "fused",
    outs: 1,
    ins: (1, LEAVES),
    scalars: (1, 1 + STEPS * (3 + 2 * ARGUMENTS + NUMBERS)),
    alias: false,
    run,
    cuda: None,
}];

/// The elementwise ops by opcode.
fn maps() -> &'static [Option<&'static Map>] {
    static MAPS: OnceLock<Vec<Option<&'static Map>>> = OnceLock::new();
    MAPS.get_or_init(|| {
        let known = [
            pointwise::MAPS,
            pointwise::TRIG_MAPS,
            special::MAPS,
            activation::MAPS,
        ]
        .concat();
        let of = |row: &Row| known.iter().find(|(name, _)| *name == row.name);
        super::table()
            .iter()
            .map(|row| of(row).map(|&(_, map)| map))
            .collect()
    })
}

#[derive(Clone, Copy)]
enum Argument<C> {
    /// A leaf or an earlier step's result.
    Place(usize),
    Number(C),
}

struct Step<C> {
    kernel: Kernel<C>,
    arguments: Vec<Argument<C>>,
    numbers: Vec<Scalar>,
}

/// Reads the scalars one by one.
struct Program<'a> {
    call: &'a Call,
    at: usize,
}

impl Program<'_> {
    fn next(&mut self) -> Outcome<Scalar> {
        let Some(&scalar) = self.call.scalars().get(self.at) else {
            bail!("fused: the chain ends inside a step");
        };
        self.at += 1;
        Ok(scalar)
    }

    fn count(&mut self, most: usize, what: &str) -> Outcome<usize> {
        let x = self.next()?.float();
        if x >= 0.0 && x <= most as f64 && x.fract() == 0.0 {
            return Ok(x as usize);
        }
        bail!("fused: {what} is {x}, not a whole number from 0 to {most}")
    }

    fn step<C: Pick>(&mut self, places: usize) -> Outcome<Step<C>> {
        let opcode = self.count(maps().len() - 1, "an opcode")?;
        let row = &super::table()[opcode];
        let Some(kernel) = maps()[opcode].and_then(C::pick) else {
            bail!(
                "fused: {} is no elementwise op on {}",
                row.name,
                C::DTYPE.name()
            );
        };
        let count = self.count(ARGUMENTS, "a number of arguments")?;
        let mut arguments = Vec::with_capacity(count);
        for _ in 0..count {
            let place = self.next()?.float();
            arguments.push(if place == -1.0 {
                Argument::Number(match self.next()? {
                    Scalar::Float(x) => C::load(x),
                    Scalar::Int(i) => C::load(i),
                })
            } else if place >= 0.0 && place < places as f64 && place.fract() == 0.0 {
                Argument::Place(place as usize)
            } else {
                bail!("fused: {place} is no leaf and no earlier step");
            });
        }
        let count = self.count(NUMBERS, "a number of numbers")?;
        let numbers = (0..count)
            .map(|_| self.next())
            .collect::<Outcome<Vec<_>>>()?;
        if arguments.len() != row.ins.0 || count + 1 != row.scalars.0 {
            bail!(
                "fused: {} with {} arguments and {count} numbers, but it takes {} and {}",
                row.name,
                arguments.len(),
                row.ins.0,
                row.scalars.0 - 1
            );
        }
        Ok(Step {
            kernel,
            arguments,
            numbers,
        })
    }
}

fn run(call: &Call) -> Outcome {
    let out = &call.outs()[0];
    for (i, o) in call.all().iter().enumerate() {
        let lies = o.is_contiguous() || (i > 0 && is_repeated(o));
        if o.is_number() || o.dtype != out.dtype || !lies || o.dims() != out.dims() {
            bail!("fused: operand {i} is not contiguous of the result's dtype and dims");
        }
    }
    if !out.dtype.is_float() {
        bail!(
            "fused: the result is {}, not of floating-point numbers",
            out.dtype.name()
        );
    }
    with_compute!(out.dtype.compute(), C => typed::<C>(call))
}

/// Whether the same number stands for every element.
fn is_repeated(o: &Operand) -> bool {
    o.numel() > 0 && o.strides().iter().all(|&s| s == 0)
}

fn typed<C: Pick>(call: &Call) -> Outcome {
    let mut program = Program { call, at: 0 };
    let leaves = call.ins().len();
    let count = program.count(STEPS, "the number of steps")?;
    let mut steps = Vec::with_capacity(count);
    for i in 0..count {
        steps.push(program.step::<C>(leaves + i)?);
    }
    if count == 0 || program.at != call.scalars().len() {
        bail!("fused: the chain has no step, or more numbers than its steps read");
    }
    let out = &call.outs()[0];
    let numel = out.numel();
    let streams = stream::pays_buffered(out);
    let shared = Shared(call.all());
    let space = Space::new(call.name, &call.all()[..1])?;
    let is_rounded = out.dtype != C::DTYPE;
    let reads = || {
        (1..=leaves)
            .map(|i| shared.get(i))
            .filter(|o| !is_repeated(o))
    };
    pool::parallel_spans(numel, GRAIN, &|range| {
        let mut brought = [const { MaybeUninit::<[C; CHUNK]>::uninit() }; LEAVES];
        let mut made = [const { MaybeUninit::<[C; CHUNK]>::uninit() }; STEPS];
        let mut number = [const { MaybeUninit::<[C; CHUNK]>::uninit() }; ARGUMENTS];
        let mut held = [None; ARGUMENTS];
        for leaf in (0..leaves).filter(|&leaf| is_repeated(shared.get(1 + leaf))) {
            let (o, to) = (shared.get(1 + leaf), brought[leaf].as_mut_ptr().cast());
            let size = CHUNK.min(range.len());
            // SAFETY: the buffer has room for a chunk; the operand was checked, and has its one number.
            unsafe { Place::of(o).gather::<C>(0, 0, to, size) };
        }
        for from in range.clone().step_by(CHUNK) {
            let n = CHUNK.min(range.end - from);
            let mut places = [core::ptr::null::<C>(); LEAVES + STEPS];
            for leaf in 0..leaves {
                let o = shared.get(1 + leaf);
                places[leaf] = if is_repeated(o) {
                    brought[leaf].as_ptr().cast()
                } else if is_rounded {
                    let to: *mut C = brought[leaf].as_mut_ptr().cast();
                    // SAFETY: the buffer has room for n; the operand was checked to hold `numel` elements.
                    unsafe { map::load::<C>(&space, 0, o, from, n, to) };
                    to
                } else {
                    // SAFETY: it is contiguous, with `numel` elements of C.
                    unsafe { o.ptr.cast::<C>().add(from) }
                };
            }
            for (i, step) in steps.iter().enumerate() {
                let mut ins = [core::ptr::null::<C>(); 3];
                for (k, argument) in step.arguments.iter().enumerate() {
                    ins[k] = match *argument {
                        Argument::Place(place) => places[place],
                        Argument::Number(x) => {
                            if held[k] != Some(x) {
                                number[k].write([x; CHUNK]);
                                held[k] = Some(x);
                            }
                            number[k].as_ptr().cast()
                        }
                    };
                }
                let is_last = i + 1 == steps.len();
                let o = shared.get(0);
                let to: *mut C = if is_last && !is_rounded && !streams {
                    // SAFETY: the output is contiguous with `numel` elements of C.
                    unsafe { o.ptr.cast::<C>().add(from) }
                } else {
                    made[i].as_mut_ptr().cast()
                };
                // SAFETY: n elements lie behind each address; the result is apart from all that is read.
                unsafe { (step.kernel)(ins, to, n, &step.numbers) };
                if is_last && streams {
                    // SAFETY: n values, at most a chunk; a fence follows.
                    unsafe { map::stream_out::<C>(o, from, n, to, reads()) };
                } else if is_last && is_rounded {
                    // SAFETY: n values go into the checked output.
                    unsafe { map::store::<C>(&space, 0, o, from, n, to) };
                } else if is_rounded {
                    // SAFETY: n values of the step's own buffer.
                    unsafe { map::round::<C>(o.dtype, to, n) };
                }
                places[leaves + i] = to;
            }
        }
        if streams {
            stream::fence();
        }
    });
    Ok(())
}
