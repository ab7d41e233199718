//! Attention by cuDNN's graphs, forward and backward: which operations it is made of, and the plans that are kept for each
//! shape. The library knows the pattern as a whole and makes its own flash attention of it: scores lie nowhere but, in
//! 16 bits, in the workspace of a backward pass whose sums do not depend on time.

use super::Scratch;
use super::cublas_lt;
use super::cudnn::{self, Found, Type, WORKSPACE};
use super::cudnn_graph::{Backend, Device, Each, Four, Join, Plan, Sketch, Tensor, dense};
use super::cudnn_words::No;
use super::driver::{Address, Handle};
use super::libraries::version_text;
use super::nvrtc;
use crate::fault::{Fault, Outcome};
use core::ptr::from_ref;
use std::collections::HashMap;

/// The first version whose backward pass needs no help where keys end within a tile of 128.
const SINCE: usize = 91_501;
/// A plan takes some tenths of a second: where shapes change all the time the own kernels do the rest.
const PLANS: usize = 64;
/// Parts of a workspace begin on multiples of this.
const PART: usize = 256;

/// How a tensor (batch, heads, rows, columns) lies whose columns are neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lie {
    pub batch: i64,
    pub head: i64,
    pub row: i64,
}

impl Lie {
    fn strides(self) -> Four {
        [self.batch, self.head, self.row, 1]
    }

    /// As if the last two dims were swapped.
    fn turned(self) -> Four {
        [self.batch, self.head, 1, self.row]
    }
}

/// Gradients beside q, k, v and the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttentionGradients<T> {
    pub g: T,
    pub gq: T,
    pub gk: T,
    pub gv: T,
}

/// Operands in 16-bit floats; gradients where the pass is backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operands<T> {
    pub q: T,
    pub k: T,
    pub v: T,
    pub out: T,
    pub gradients: Option<AttentionGradients<T>>,
}

/// An attention: `heads` heads of queries share `key_heads` of keys, neighbours the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    pub kind: Type,
    pub batch: i64,
    pub heads: i64,
    pub key_heads: i64,
    pub queries: i64,
    pub keys: i64,
    /// Columns of q and k, and of v and the result.
    pub head: i64,
    pub value: i64,
    /// Whether query i sees keys up to i only.
    pub causal: bool,
    pub lie: Operands<Lie>,
}

/// Where the operands lie, each on 16 bytes, with the dense float32 logarithms of each query's sum of exponentials.
#[derive(Clone, Copy)]
pub struct AttentionPlaces {
    pub at: Operands<Address>,
    pub lse: Address,
    /// The factor of scores.
    pub scale: f32,
}

/// Numbers of the tensors that are given.
mod number {
    pub const Q: i64 = 1;
    pub const K: i64 = 2;
    pub const V: i64 = 3;
    pub const OUT: i64 = 4;
    pub const LSE: i64 = 5;
    pub const SCALE: i64 = 6;
    pub const SHUT: i64 = 7;
    pub const G: i64 = 8;
    pub const GQ: i64 = 9;
    pub const GK: i64 = 10;
    pub const GV: i64 = 11;
    pub const DELTA: i64 = 12;
    pub const ONE: i64 = 13;
}

impl Attention {
    /// Sizes of every score, and of a number for each query.
    fn scores(&self) -> Four {
        [self.batch, self.heads, self.queries, self.keys]
    }

    fn column(&self) -> Four {
        [self.batch, self.heads, self.queries, 1]
    }

    fn queries(&self, columns: i64) -> Four {
        [self.batch, self.heads, self.queries, columns]
    }

    fn keys(&self, columns: i64) -> Four {
        [self.batch, self.key_heads, self.keys, columns]
    }

    /// Keys or values with their last two dims swapped.
    fn turned(&self, columns: i64) -> Four {
        [self.batch, self.key_heads, columns, self.keys]
    }

    /// Room for the sums of each query that a backward pass keeps.
    fn delta(&self) -> usize {
        match self.lie.gradients {
            Some(_) => (self.batch * self.heads * self.queries) as usize * size_of::<f32>(),
            None => 0,
        }
    }

    fn plan(&self, backend: &Backend, device: &Device) -> Result<Plan, No> {
        let mut s = Sketch::new(backend);
        match &self.lie.gradients {
            None => self.forward(&mut s)?,
            Some(gradients) => self.backward(&mut s, gradients)?,
        }
        let most = WORKSPACE.saturating_sub(self.delta());
        s.plan(device, most)
    }

    /// Scores without those of keys that a query does not see.
    fn seen(&self, s: &mut Sketch, scores: Tensor) -> Result<Tensor, No> {
        if !self.causal {
            return Ok(scores);
        }
        let sizes = self.scores();
        let [row, column] = [Type::I32; 2].map(|kind| s.between(kind, sizes, dense(sizes)));
        let (row, column) = (row?, column?);
        s.each(Each::Number, Type::I32, (scores, row), None, None, Some(2))?;
        s.each(
            Each::Number,
            Type::I32,
            (scores, column),
            None,
            None,
            Some(3),
        )?;
        let seen = s.between(Type::Bool, sizes, dense(sizes))?;
        s.each(
            Each::IsAtLeast,
            Type::Bool,
            (row, seen),
            Some(column),
            None,
            None,
        )?;
        let shut = s.value(number::SHUT)?;
        let to = s.between(Type::F32, sizes, dense(sizes))?;
        s.each(
            Each::Select,
            Type::F32,
            (scores, to),
            Some(shut),
            Some(seen),
            None,
        )?;
        Ok(to)
    }

    fn forward(&self, s: &mut Sketch) -> Result<(), No> {
        let (kind, lie) = (self.kind, &self.lie);
        let q = s.tensor(number::Q, kind, self.queries(self.head), lie.q.strides())?;
        let k = s.tensor(number::K, kind, self.turned(self.head), lie.k.turned())?;
        let v = s.tensor(number::V, kind, self.keys(self.value), lie.v.strides())?;
        let out = s.tensor(
            number::OUT,
            kind,
            self.queries(self.value),
            lie.out.strides(),
        )?;
        let (all, column) = (self.scores(), self.column());
        let product = s.between(Type::F32, all, dense(all))?;
        s.multiply(q, k, product)?;
        let scale = s.value(number::SCALE)?;
        let scores = math(s, Each::Multiply, product, Some(scale), all)?;
        let scores = self.seen(s, scores)?;
        let most = s.between(Type::F32, column, dense(column))?;
        s.join(Join::Greatest, scores, most)?;
        let below = math(s, Each::Subtract, scores, Some(most), all)?;
        let weights = math(s, Each::Exp, below, None, all)?;
        let total = s.between(Type::F32, column, dense(column))?;
        s.join(Join::Sum, weights, total)?;
        let log = math(s, Each::Log, total, None, column)?;
        let lse = s.tensor(number::LSE, Type::F32, column, dense(column))?;
        s.each(Each::Add, Type::F32, (most, lse), Some(log), None, None)?;
        let parts = s.between(kind, all, dense(all))?;
        s.each(
            Each::Divide,
            Type::F32,
            (weights, parts),
            Some(total),
            None,
            None,
        )?;
        s.multiply(parts, v, out)
    }

    fn backward(&self, s: &mut Sketch, lie: &AttentionGradients<Lie>) -> Result<(), No> {
        let (kind, own) = (self.kind, &self.lie);
        let (of_head, of_value) = (self.queries(self.head), self.queries(self.value));
        let q = s.tensor(number::Q, kind, of_head, own.q.strides())?;
        let k = s.tensor(number::K, kind, self.turned(self.head), own.k.turned())?;
        let v = s.tensor(number::V, kind, self.turned(self.value), own.v.turned())?;
        let out = s.tensor(number::OUT, kind, of_value, own.out.strides())?;
        let g = s.tensor(number::G, kind, of_value, lie.g.strides())?;
        let gq = s.tensor(number::GQ, kind, of_head, lie.gq.strides())?;
        let gk = s.tensor(number::GK, kind, self.keys(self.head), lie.gk.strides())?;
        let gv = s.tensor(number::GV, kind, self.keys(self.value), lie.gv.strides())?;
        let (all, column) = (self.scores(), self.column());
        // Σ g · out of each query; the factor is one without dropout, and belongs to the pattern.
        let products = math(s, Each::Multiply, g, Some(out), of_value)?;
        let sums = s.between(Type::F32, column, dense(column))?;
        s.join(Join::Sum, products, sums)?;
        let one = s.value(number::ONE)?;
        let delta = s.tensor(number::DELTA, Type::F32, column, dense(column))?;
        s.each(
            Each::Multiply,
            Type::F32,
            (sums, delta),
            Some(one),
            None,
            None,
        )?;
        // Weights, found again from the logarithms.
        let product = s.between(Type::F32, all, dense(all))?;
        s.multiply(q, k, product)?;
        let scale = s.value(number::SCALE)?;
        let scores = math(s, Each::Multiply, product, Some(scale), all)?;
        let lse = s.tensor(number::LSE, Type::F32, column, dense(column))?;
        let below = math(s, Each::Subtract, scores, Some(lse), all)?;
        let below = self.seen(s, below)?;
        let weights = math(s, Each::Exp, below, None, all)?;
        let turned = self.swapped(s, weights)?;
        self.product_of_keys(s, (turned, g, gv), self.value)?;
        let slopes = s.between(Type::F32, all, dense(all))?;
        s.multiply(g, v, slopes)?;
        let slopes = math(s, Each::Subtract, slopes, Some(delta), all)?;
        let slopes = math(s, Each::Multiply, slopes, Some(weights), all)?;
        let slopes = math(s, Each::Multiply, slopes, Some(scale), all)?;
        let turned = self.swapped(s, slopes)?;
        self.product_of_keys(s, (turned, q, gk), self.head)?;
        let keys = s.between(kind, self.keys(self.head), own.k.strides())?;
        s.turn(k, keys)?;
        s.multiply(slopes, keys, gq)
    }

    /// A matrix of scores with rows for keys, in 16 bits.
    fn swapped(&self, s: &mut Sketch, scores: Tensor) -> Result<Tensor, No> {
        let [b, h, t, n] = self.scores();
        let to = s.between(self.kind, [b, h, n, t], [h * t * n, t * n, 1, n])?;
        s.turn(scores, to)?;
        Ok(to)
    }

    /// c = a b with rows for keys; heads of queries that share one of keys are added.
    fn product_of_keys(
        &self,
        s: &mut Sketch,
        (a, b, c): (Tensor, Tensor, Tensor),
        columns: i64,
    ) -> Result<(), No> {
        if self.heads == self.key_heads {
            return s.multiply(a, b, c);
        }
        let sizes = [self.batch, self.heads, self.keys, columns];
        let each = s.between(self.kind, sizes, dense(sizes))?;
        s.multiply(a, b, each)?;
        s.join(Join::Sum, each, c)
    }
}

/// What an operation in float32 gives, which lies nowhere.
fn math(
    s: &mut Sketch,
    what: Each,
    x: Tensor,
    b: Option<Tensor>,
    sizes: Four,
) -> Result<Tensor, No> {
    let y = s.between(Type::F32, sizes, dense(sizes))?;
    s.each(what, Type::F32, (x, y), b, None, None)?;
    Ok(y)
}

/// The library's version, or why it does not attend.
pub fn version() -> Result<String, String> {
    let found = cudnn::open()?;
    Attentions::open(&found).map(|_| version_text(found.number))
}

/// Attention in one device's context.
pub struct Attentions {
    backend: Backend,
    /// None for what the library does not take.
    plans: HashMap<Attention, Option<Plan>>,
}

impl Attentions {
    pub fn open(found: &Found) -> Result<Attentions, String> {
        if found.number < SINCE {
            let [has, needs] = [found.number, SINCE].map(version_text);
            return Err(format!("it is version {has}, and attention needs {needs}"));
        }
        // Its graphs end the process where they do not find this; one that is open they find.
        cublas_lt::version().map_err(|why| format!("it needs cuBLASLt: {why}"))?;
        // What it cannot plan without this it refuses.
        let _ = nvrtc::version();
        Ok(Attentions {
            backend: Backend::open(found.library, found.words)?,
            plans: HashMap::new(),
        })
    }

    /// A device that is only described.
    #[cfg(test)]
    pub fn described(&self, properties: &str) -> Result<Device, No> {
        self.backend.described(properties)
    }

    /// The workspace of the plan for an attention.
    #[cfg(test)]
    pub fn planned(&self, attention: &Attention, device: &Device) -> Result<usize, No> {
        Ok(attention.plan(&self.backend, device)?.workspace)
    }

    /// Attends; false where the library does not take it, or there is no room for its workspace, which `take` gives.
    ///
    /// # Safety
    /// The places hold tensors as described; the context that they belong to is current, and the handle's.
    pub unsafe fn run(
        &mut self,
        handle: Handle,
        attention: &Attention,
        places: &AttentionPlaces,
        take: impl FnOnce(usize) -> Outcome<Scratch>,
    ) -> Outcome<bool> {
        if !self.plans.contains_key(attention) {
            if self.plans.len() >= PLANS {
                return Ok(false);
            }
            let plan = match attention.plan(&self.backend, &Device::Of(handle)) {
                Ok(plan) => Some(plan),
                Err(No::Refusal) => None,
                Err(No::Failure(fault)) => return Err(fault),
            };
            self.plans.insert(*attention, plan);
        }
        let Some(Some(plan)) = self.plans.get(attention) else {
            return Ok(false);
        };
        let before = plan.workspace.next_multiple_of(PART);
        let workspace = match take(before + attention.delta()) {
            Ok(workspace) => workspace,
            Err(Fault::OutOfMemory(_)) => return Ok(false),
            Err(fault) => return Err(fault),
        };
        let (shut, one) = (f32::NEG_INFINITY, 1f32);
        let value = |of: &f32| from_ref(of) as Address;
        let at = &places.at;
        let mut tensors = vec![
            (number::Q, at.q),
            (number::K, at.k),
            (number::V, at.v),
            (number::OUT, at.out),
            (number::LSE, places.lse),
            (number::SCALE, value(&places.scale)),
        ];
        if attention.causal {
            tensors.push((number::SHUT, value(&shut)));
        }
        if let Some(gradients) = &at.gradients {
            tensors.extend([
                (number::G, gradients.g),
                (number::GQ, gradients.gq),
                (number::GK, gradients.gk),
                (number::GV, gradients.gv),
                (number::DELTA, workspace.address() + before as Address),
                (number::ONE, value(&one)),
            ]);
        }
        // SAFETY: the caller's promise; the workspace is held until the work is in the stream, behind which its memory is
        // used again, and values are read before the call returns.
        match unsafe {
            self.backend
                .run(handle, plan, &tensors, workspace.address())
        } {
            Ok(()) => Ok(true),
            Err(No::Failure(fault)) => Err(fault),
            Err(No::Refusal) => {
                self.plans.insert(*attention, None);
                Ok(false)
            }
        }
    }
}
