//! Convolutions over 1 to 3 dims: `y[n, o, p] = Σ w[o, c, t] x[n, c, p · stride - padding + t · dilation]`, in groups of
//! channels, what lies outside of x being zero; and the two products of its backward pass. Each is linear in both of its
//! operands and uses the sizes of its output as they are, so that the three serve each other as gradients, and the input
//! gradient is the transposed convolution.
//!
//! Here: the sizes and the choice of a way. 1 × 1 is a plain product; others are products with patches that are read
//! where they lie (direct.rs, field.rs), or are written out where an image has few (unfolded.rs), or where windows are
//! 3 × 3 and channels many, of transformed tiles (winograd.rs); one channel per group has kernels of its own
//! (depthwise.rs); integers and what is too wide are summed one by one (exact.rs).

mod cuda;
mod depthwise;
mod direct;
mod exact;
mod field;
mod library;
#[cfg(test)]
mod tests;
mod unfolded;
mod winograd;

use super::dense::{Input, Output};
use crate::dtype::{Compute, Number};
use crate::fault::{Fault, Outcome};
use crate::gemm::{self, Float, Mat, MatMut, Options};
use crate::instruction::{Call, Operand, Row};
use crate::{bail, with_compute};
use exact::Exact;

/// Sizes up to here keep every position inside an int64.
const LARGEST: usize = 1 << 31;

/// The sizes of a convolution; 1 and 2 dims are 3 of which the first have size 1.
#[derive(Clone, Debug)]
pub struct Geometry {
    pub batch: usize,
    pub groups: usize,
    /// Channels of x in a group.
    pub ins: usize,
    /// Channels of y in a group.
    pub outs: usize,
    /// Of x.
    pub input: [usize; 3],
    /// Of y.
    pub output: [usize; 3],
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    pub padding: [usize; 3],
    pub dilation: [usize; 3],
}

impl Geometry {
    /// Scalars: groups, then stride, padding and dilation of each dim.
    fn of(call: &Call, x: &Operand, w: &Operand, y: &Operand) -> Outcome<Geometry> {
        let n = x.ndim;
        let fits = (3..=5).contains(&n)
            && w.ndim == n
            && y.ndim == n
            && call.scalars().len() == 1 + 3 * (n - 2);
        let sizes = || {
            format!(
                "x {:?}, w {:?} and y {:?} with {} scalars",
                x.dims(),
                w.dims(),
                y.dims(),
                call.scalars().len()
            )
        };
        call.require(fits, sizes)?;
        let groups = call.count(0)?;
        let (ins, outs) = (w.dims()[1], w.dims()[0] / groups.max(1));
        let fits = groups >= 1
            && x.dims()[0] == y.dims()[0]
            && Some(x.dims()[1]) == ins.checked_mul(groups)
            && y.dims()[1] == w.dims()[0]
            && outs * groups == w.dims()[0];
        call.require(fits, sizes)?;
        let mut g = Geometry {
            batch: x.dims()[0],
            groups,
            ins,
            outs,
            input: [1; 3],
            output: [1; 3],
            kernel: [1; 3],
            stride: [1; 3],
            padding: [0; 3],
            dilation: [1; 3],
        };
        for d in 0..n - 2 {
            let to = d + 5 - n;
            g.input[to] = x.dims()[d + 2];
            g.output[to] = y.dims()[d + 2];
            g.kernel[to] = w.dims()[d + 2];
            g.stride[to] = call.count(1 + 3 * d)?;
            g.padding[to] = call.count(2 + 3 * d)?;
            g.dilation[to] = call.count(3 + 3 * d)?;
            let small = [g.input, g.output, g.kernel, g.stride, g.padding, g.dilation]
                .iter()
                .all(|sizes| sizes[to] < LARGEST);
            call.require(small && g.stride[to] > 0 && g.dilation[to] > 0, || {
                format!("dim {d} with {g:?}")
            })?;
        }
        Ok(g)
    }

    pub fn positions(&self) -> usize {
        self.output.iter().product()
    }

    pub fn places(&self) -> usize {
        self.input.iter().product()
    }

    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Each position of y sees one position of x, the same.
    fn is_pointwise(&self) -> bool {
        self.kernel == [1; 3]
            && self.stride == [1; 3]
            && self.padding == [0; 3]
            && self.input == self.output
    }
}

impl Geometry {
    /// Every plane of an output at its bias, or zero: what is there without any product.
    fn fill<C: Number>(&self, to: *mut C, channels: usize, plane: usize, bias: Option<&Input<C>>) {
        // Without positions there may be any number of planes.
        let count = if plane == 0 {
            0
        } else {
            self.batch * self.groups * channels
        };
        for i in 0..count {
            let value = bias.map_or(C::default(), |bias| {
                bias.all()[i % (self.groups * channels)]
            });
            // SAFETY: callers give an output of this many planes.
            unsafe { core::slice::from_raw_parts_mut(to.add(i * plane), plane) }.fill(value);
        }
    }
}

fn memory(text: String) -> Fault {
    Fault::OutOfMemory(text)
}

/// A bias of so many elements, in the compute type.
fn bias_of<C: Number>(call: &Call, channels: usize) -> Outcome<Option<Input<C>>> {
    let Some(bias) = call.ins().get(2) else {
        return Ok(None);
    };
    if bias.dims() != [channels] || bias.dtype.is_float() != C::DTYPE.is_float() {
        bail!(
            "{}: a bias of dims {:?} and dtype {} for {channels} channels",
            call.name,
            bias.dims(),
            bias.dtype.name()
        );
    }
    Ok(Some(Input::of(bias)?))
}

/// All operands compute in one type, which is the output's.
fn compute(call: &Call) -> Outcome<Compute> {
    let kind = call.outs()[0].dtype.compute();
    let mixed = call
        .ins()
        .iter()
        .any(|o| o.dtype.is_float() != (kind != Compute::I64));
    call.require(!mixed, || "integers and floats are mixed".into())?;
    Ok(kind)
}

/// What the kernels compute in: float32 and float64 have quick ways, int64 only the exact one.
trait Kind: Exact {
    fn forward(
        g: &Geometry,
        to: &Output<Self>,
        x: &Input<Self>,
        w: &Input<Self>,
        bias: Option<&Input<Self>>,
    ) -> Outcome {
        exact::forward(g, to, x, w, bias)
    }
    fn input_grad(
        g: &Geometry,
        to: &Output<Self>,
        y: &Input<Self>,
        w: &Input<Self>,
        bias: Option<&Input<Self>>,
    ) -> Outcome {
        exact::input_grad(g, to, y, w, bias)
    }
    fn weight_grad(g: &Geometry, to: &Output<Self>, y: &Input<Self>, x: &Input<Self>) -> Outcome {
        exact::weight_grad(g, to, y, x)
    }
}

impl Kind for i64 {}

macro_rules! quick {
    ($($t:ty)*) => { $(
        impl Kind for $t {
            fn forward(g: &Geometry, to: &Output<$t>, x: &Input<$t>, w: &Input<$t>, bias: Option<&Input<$t>>) -> Outcome {
                if g.is_pointwise() {
                    return pointwise(g, to.ptr(), x.ptr(), w.ptr(), false, bias);
                }
                if winograd::suits(g) && winograd::forward(g, to.ptr(), x.ptr(), w.ptr(), bias)? {
                    return Ok(());
                }
                match direct::forward_field(g) {
                    Some(field) if depthwise::suits(g) => {
                        depthwise::forward(g, &field, to.ptr(), x.ptr(), w.ptr(), bias)
                    }
                    _ if unfolded::suits(g) => unfolded::forward(g, to.ptr(), x.ptr(), w.ptr(), bias),
                    Some(field) => direct::forward(g, &field, to.ptr(), x.ptr(), w.ptr(), bias),
                    None => exact::forward(g, to, x, w, bias),
                }
            }

            fn input_grad(g: &Geometry, to: &Output<$t>, y: &Input<$t>, w: &Input<$t>, bias: Option<&Input<$t>>) -> Outcome {
                if g.is_pointwise() {
                    return pointwise(g, to.ptr(), y.ptr(), w.ptr(), true, bias);
                }
                if winograd::suits(g) && winograd::input_grad(g, to.ptr(), y.ptr(), w.ptr(), bias)? {
                    return Ok(());
                }
                if depthwise::suits(g) && depthwise::input_grad(g, to.ptr(), y.ptr(), w.ptr(), bias)? {
                    return Ok(());
                }
                if unfolded::suits(g) {
                    return unfolded::input_grad(g, to.ptr(), y.ptr(), w.ptr(), bias);
                }
                if direct::input_grad(g, to.ptr(), y.ptr(), w.ptr(), bias)? {
                    return Ok(());
                }
                exact::input_grad(g, to, y, w, bias)
            }

            fn weight_grad(g: &Geometry, to: &Output<$t>, y: &Input<$t>, x: &Input<$t>) -> Outcome {
                if g.is_pointwise() && g.places() >= DEEP {
                    return pointwise_weight_grad(g, to.ptr(), y.ptr(), x.ptr());
                }
                if winograd::suits(g) && winograd::weight_grad(g, to.ptr(), y.ptr(), x.ptr())? {
                    return Ok(());
                }
                match direct::forward_field(g) {
                    Some(field) if depthwise::suits(g) => {
                        depthwise::weight_grad(g, &field, to.ptr(), y.ptr(), x.ptr())
                    }
                    _ if unfolded::suits(g) => unfolded::weight_grad(g, to.ptr(), y.ptr(), x.ptr()),
                    Some(field) => direct::weight_grad(g, &field, to.ptr(), y.ptr(), x.ptr()),
                    None => exact::weight_grad(g, to, y, x),
                }
            }
        }
    )* };
}
quick!(f32 f64);

fn conv<C: Kind>(call: &Call) -> Outcome {
    let (y, x, w) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let g = Geometry::of(call, x, w, y)?;
    let bias = bias_of::<C>(call, g.outs * g.groups)?;
    let to = Output::<C>::of(y)?;
    if x.numel() == 0 || w.numel() == 0 {
        g.fill(to.ptr(), g.outs, g.positions(), bias.as_ref());
    } else if y.numel() > 0 {
        C::forward(&g, &to, &Input::of(x)?, &Input::of(w)?, bias.as_ref())?;
    }
    to.finish(y);
    Ok(())
}

/// gx from g (as y) and w; with a bias, the transposed convolution.
fn conv_input_grad<C: Kind>(call: &Call) -> Outcome {
    let (x, y, w) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let g = Geometry::of(call, x, w, y)?;
    let bias = bias_of::<C>(call, g.ins * g.groups)?;
    let to = Output::<C>::of(x)?;
    if y.numel() == 0 || w.numel() == 0 {
        g.fill(to.ptr(), g.ins, g.places(), bias.as_ref());
    } else if x.numel() > 0 {
        C::input_grad(&g, &to, &Input::of(y)?, &Input::of(w)?, bias.as_ref())?;
    }
    to.finish(x);
    Ok(())
}

/// gw from g (as y) and x.
fn conv_weight_grad<C: Kind>(call: &Call) -> Outcome {
    let (w, y, x) = (&call.outs()[0], &call.ins()[0], &call.ins()[1]);
    let g = Geometry::of(call, x, w, y)?;
    let to = Output::<C>::of(w)?;
    if x.numel() == 0 || y.numel() == 0 {
        // SAFETY: all elements of the output.
        unsafe { to.part(0, w.numel()) }.fill(C::default());
    } else if w.numel() > 0 {
        C::weight_grad(&g, &to, &Input::of(y)?, &Input::of(x)?)?;
    }
    to.finish(w);
    Ok(())
}

/// A 1 × 1 convolution is a product for each image and group; `back`: from y to x.
fn pointwise<C: Float + Number>(
    g: &Geometry,
    to: *mut C,
    from: *const C,
    w: *const C,
    back: bool,
    bias: Option<&Input<C>>,
) -> Outcome {
    let p = g.places();
    let (rows, depth) = if back {
        (g.ins, g.outs)
    } else {
        (g.outs, g.ins)
    };
    // The transposed product: positions by channels, so that the bias is one of columns.
    let c = MatMut {
        ptr: to.cast(),
        elem: C::ELEM,
        rows: p,
        cols: rows,
        rs: 1,
        cs: p as isize,
    };
    let a = Mat {
        ptr: from.cast(),
        elem: C::ELEM,
        rows: p,
        cols: depth,
        rs: 1,
        cs: p as isize,
    };
    let b = Mat {
        ptr: w.cast(),
        elem: C::ELEM,
        rows: depth,
        cols: rows,
        rs: if back { g.ins as isize } else { 1 },
        cs: if back { 1 } else { g.ins as isize },
    };
    for group in 0..g.groups {
        let shift = |bytes: *const u8, elements: usize| {
            bytes.wrapping_add(elements * core::mem::size_of::<C>())
        };
        let options = Options {
            bias: bias.map(|bias| Mat {
                ptr: shift(bias.ptr().cast(), group * rows),
                elem: C::ELEM,
                rows: 1,
                cols: rows,
                rs: 0,
                cs: 1,
            }),
            ..Options::default()
        };
        let b = Mat {
            ptr: shift(b.ptr, group * g.ins * g.outs),
            ..b
        };
        let offsets = |image: usize| {
            let place = |channels: usize| ((image * g.groups + group) * channels * p) as isize;
            (place(rows), place(depth), 0)
        };
        // SAFETY: the arrays have the sizes of the geometry; images and groups are disjoint.
        unsafe { gemm::gemm_batched(g.batch, &offsets, c, a, b, options) }.map_err(memory)?;
    }
    Ok(())
}

/// Positions of an image from which on a product for each is quicker than what sums over all of them.
const DEEP: usize = 64;

/// The weight's gradient of a 1 × 1 convolution: a product for each group, summed over the images.
fn pointwise_weight_grad<C: Float + Number>(
    g: &Geometry,
    to: *mut C,
    y: *const C,
    x: *const C,
) -> Outcome {
    let p = g.places();
    for group in 0..g.groups {
        for image in 0..g.batch {
            let at = image * g.groups + group;
            let c = MatMut {
                ptr: to.wrapping_add(group * g.outs * g.ins).cast(),
                elem: C::ELEM,
                rows: g.outs,
                cols: g.ins,
                rs: g.ins as isize,
                cs: 1,
            };
            let a = Mat {
                ptr: y.wrapping_add(at * g.outs * p).cast(),
                elem: C::ELEM,
                rows: g.outs,
                cols: p,
                rs: p as isize,
                cs: 1,
            };
            let b = Mat {
                ptr: x.wrapping_add(at * g.ins * p).cast(),
                elem: C::ELEM,
                rows: p,
                cols: g.ins,
                rs: 1,
                cs: p as isize,
            };
            let options = Options {
                beta: f64::from(u8::from(image > 0)),
                ..Options::default()
            };
            // SAFETY: the arrays have the sizes of the geometry; the output is neither operand.
            unsafe { gemm::gemm(c, a, b, options) }.map_err(memory)?;
        }
    }
    Ok(())
}

/// Most scalars: groups and three for each of three dims.
const SCALARS: (usize, usize) = (4, 10);

pub const ROWS: &[Row] = &[
    Row {
        name: "conv",
        outs: 1,
        ins: (2, 3),
        scalars: SCALARS,
        alias: false,
        run: |call| with_compute!(compute(call)?, C => conv::<C>(call)),
        cuda: Some(cuda::conv),
    },
    Row {
        name: "conv_input_grad",
        outs: 1,
        ins: (2, 3),
        scalars: SCALARS,
        alias: false,
        run: |call| with_compute!(compute(call)?, C => conv_input_grad::<C>(call)),
        cuda: Some(cuda::conv_input_grad),
    },
    Row {
        name: "conv_weight_grad",
        outs: 1,
        ins: (2, 2),
        scalars: SCALARS,
        alias: false,
        run: |call| with_compute!(compute(call)?, C => conv_weight_grad::<C>(call)),
        cuda: Some(cuda::conv_weight_grad),
    },
];
