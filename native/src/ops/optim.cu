// Optimiser steps: the kernels of optim.rs. One launch takes all tensors of a group, in chunks; a table in device memory says
// where they are. Rows of lazy tables are a warp each.
#include "lines/lines.cuh"
#include "optim/rules.cuh"

using namespace toro;

namespace {

constexpr int THREADS = 256;

// One parameter with its gradient and its states, null where the rule has none. Mirrors Set in optim/cuda.rs.
struct Set {
  void *p, *g, *states[3];
  int64_t numel, first_chunk;
  int32_t dtype, unused;
  double factors[8];
};
static_assert(sizeof(Set) == 128, "as in optim/cuda.rs");

struct Step {
  const Set* sets;
  int64_t count, chunks, chunk;
  int32_t kind, flags;
};
static_assert(sizeof(Step) == 40, "as in optim/cuda.rs");

// The same with few sets, which come along with the launch.
struct FewStep {
  Step step;
  Set sets[31];
};
static_assert(sizeof(FewStep) == 4008, "as in optim/cuda.rs");

// The last of some things whose chunks begin at or before this one.
template <class T> DEVICE int64_t owner_of(const T* things, int64_t count, int64_t chunk) {
  int64_t low = 0, high = count;
  while (high - low > 1) {
    int64_t middle = (low + high) / 2;
    if (things[middle].first_chunk <= chunk) low = middle;
    else high = middle;
  }
  return low;
}

template <class C> DEVICE C at(const void* p, int dtype, int64_t i) {
  if constexpr (sizeof(C) == 4) if (dtype == F32) return ((const float*)p)[i];
  return load<C>(p, dtype, i);
}
template <class C> DEVICE void set(void* p, int dtype, int64_t i, C x) {
  if constexpr (sizeof(C) == 4) if (dtype == F32) {
    ((float*)p)[i] = x;
    return;
  }
  store<C>(p, dtype, i, x);
}

// One element: gradient g, place i of the parameter and its states.
template <class C> DEVICE void update(const Rule<C>& rule, void* p, void* const* states, int dtype, int64_t i, C g) {
  Exact<C> x = at<C>(p, dtype, i), own[3] = {};
#pragma unroll
  for (int s = 0; s < 3; s++) if (states[s]) own[s] = at<C>(states[s], dtype, i);
  rule.step(x, own[0], own[1], own[2], product(g, (C)(rule.has(MAXIMIZE) ? -1 : 1)));
  set<C>(p, dtype, i, x.x);
#pragma unroll
  for (int s = 0; s < 3; s++) if (states[s]) set<C>(states[s], dtype, i, own[s].x);
}

// float64 parameters are computed in float64, all others in float32; a kernel passes over those of the other kind.
template <class C> DEVICE void optim_step(const Step& a, const Set* sets) {
  for (int64_t chunk = blockIdx.x; chunk < a.chunks; chunk += gridDim.x) {
    const Set& s = sets[owner_of(sets, a.count, chunk)];
    if ((s.dtype == F64) != (sizeof(C) == 8)) continue;
    Rule<C> rule(a.kind, a.flags, s.factors);
    int64_t from = (chunk - s.first_chunk) * a.chunk, end = from + a.chunk < s.numel ? from + a.chunk : s.numel;
    for (int64_t i = from + threadIdx.x; i < end; i += THREADS) update<C>(rule, s.p, s.states, s.dtype, i, at<C>(s.g, s.dtype, i));
  }
}

// A step of the rows that have a gradient. Row numbers are int64 or int32.
struct RowsStep {
  void *p, *states[3];
  const void *numbers, *values;
  const int64_t* count;
  Alarm* alarm;
  int64_t rows, d, room;
  uint32_t opcode;
  int32_t number_dtype, dtype, kind, flags, unused;
  double factors[8];
};
static_assert(sizeof(RowsStep) == 176, "as in optim/cuda.rs");

DEVICE int64_t used(const int64_t* count, int64_t room) {
  int64_t n = *count;
  return n < 0 ? 0 : n < room ? n : room;
}

template <class C> DEVICE void rows_step(const RowsStep& a) {
  Rule<C> rule(a.kind, a.flags, a.factors);
  int64_t all = used(a.count, a.room) * a.d;
  for (int64_t i = thread_number(); i < all; i += thread_count()) {
    int64_t n = i / a.d, row = load<int64_t>(a.numbers, a.number_dtype, n);
    if (row < 0 || row >= a.rows) raise(a.alarm, a.opcode, row, a.rows);
    else update<C>(rule, a.p, a.states, a.dtype, row * a.d + (i - n * a.d), at<C>(a.values, a.dtype, i));
  }
}

// ---- lazy tables, as optim/lazy.rs has them

struct Lazy {
  void *p, *states[3];
  int32_t* reached;  // (N, 2): the step that a row has reached, the one after which its momentum is gone
  void* ring;        // (steps, 8)
  const void *numbers, *values;
  const int64_t* count;
  Alarm* alarm;
  int64_t rows, d, room, first, swept, steps;
  uint32_t opcode, before, until;
  int32_t number_dtype, dtype, kind, flags, is_forever, is_idle, unused;
  double factors[8];
};
static_assert(sizeof(Lazy) == 232, "as in optim/cuda.rs");

template <class C> DEVICE Rule<C> ring_rule(const Lazy& a, uint32_t step) {
  double factors[8];
  const C* row = (const C*)a.ring + (step & (uint32_t)(a.steps - 1)) * 8;
#pragma unroll
  for (int i = 0; i < 8; i++) factors[i] = (double)row[i];
  return Rule<C>(a.kind, a.flags, factors);
}

// Brings a row from step `from` to step `to`, then, where there is a gradient, one step on. A lane takes every 32nd column.
template <class C> DEVICE void advance(const Lazy& a, int64_t row, uint32_t from, uint32_t gone, uint32_t to, const C* g) {
  uint32_t until = a.is_forever ? 0xffffffffu : gone, drift = to < until ? to : until;
  drift = drift > from ? drift : from;
  Rule<C> last(a.kind, a.flags, a.factors);
  for (int64_t c = threadIdx.x & 31; c < a.d; c += 32) {
    int64_t i = row * a.d + c;
    Exact<C> x = ((C*)a.p)[i], own[3] = {};
#pragma unroll
    for (int s = 0; s < 3; s++) if (a.states[s]) own[s] = ((C*)a.states[s])[i];
    uint32_t s = from;
#pragma unroll 1
    while (s < drift) ring_rule<C>(a, ++s).step(x, own[0], own[1], own[2], Exact<C>(0));
    if (drift == until && from < until) own[0] = Exact<C>(0);
#pragma unroll 1
    while (s < to) ring_rule<C>(a, ++s).quiet(x, own[1]);
    if (g) last.step(x, own[0], own[1], own[2], product(g[c], (C)(last.has(MAXIMIZE) ? -1 : 1)));
    ((C*)a.p)[i] = x.x;
#pragma unroll
    for (int s = 0; s < 3; s++) if (a.states[s]) ((C*)a.states[s])[i] = own[s].x;
  }
}

// Whether the ring still holds the steps between.
DEVICE bool follows(const Lazy& a, uint32_t from, uint32_t to) {
  if (to >= from && to - from < (uint64_t)a.steps) return true;
  if ((threadIdx.x & 31) == 0) raise(a.alarm, a.opcode, (int64_t)to - from, a.steps);
  return false;
}

// Brings a row to step `before`. Who moves the counter does the work, so a row asked for twice is done once.
template <class C> DEVICE void catch_up(const Lazy& a, int64_t row) {
  uint32_t* reached = (uint32_t*)a.reached + 2 * row;
  uint32_t from = 0;
  if ((threadIdx.x & 31) == 0) from = atomicExch(reached, a.before);
  from = __shfl_sync(ALL, from, 0);
  if (from == a.before || !follows(a, from, a.before)) return;
  advance<C>(a, row, from, reached[1], a.before, nullptr);
}

DEVICE int64_t warp_number() { return thread_number() / 32; }
DEVICE int64_t warp_count() { return thread_count() / 32; }

// Rows first … first + room.
template <class C> DEVICE void lazy_sweep(const Lazy& a) {
  for (int64_t i = warp_number(); i < a.room; i += warp_count()) catch_up<C>(a, a.first + i);
}

template <class C> DEVICE void lazy_read(const Lazy& a) {
  for (int64_t i = warp_number(); i < a.room; i += warp_count()) {
    int64_t row = load<int64_t>(a.numbers, a.number_dtype, i);
    if (row >= 0 && row < a.rows) catch_up<C>(a, row);
    else if ((threadIdx.x & 31) == 0) raise(a.alarm, a.opcode, row, a.rows);
  }
}

// Whether a number is among the first so many, which ascend.
DEVICE bool is_among(const Lazy& a, int64_t row, int64_t count) {
  int64_t low = 0, high = count;
  while (low < high) {
    int64_t middle = (low + high) / 2, number = load<int64_t>(a.numbers, a.number_dtype, middle);
    if (number == row) return true;
    if (number < row) low = middle + 1;
    else high = middle;
  }
  return false;
}

// One step with a gradient; `factors` are what the ring gets of it. The ring's row is one that no row lags behind. Rows
// first … first + swept are brought up to date beside, but for those that have a gradient: they come so far by themselves.
template <class C> DEVICE void lazy_step(const Lazy& a) {
  if (thread_number() < 8) {
    ((C*)a.ring)[((a.before + 1) & (uint32_t)(a.steps - 1)) * 8 + thread_number()] = (C)a.factors[thread_number()];
  }
  int64_t count = used(a.count, a.room);
  for (int64_t w = warp_number(); w < a.swept + count; w += warp_count()) {
    if (w < a.swept) {
      if (!is_among(a, a.first + w, count)) catch_up<C>(a, a.first + w);
      continue;
    }
    int64_t i = w - a.swept, row = load<int64_t>(a.numbers, a.number_dtype, i);
    if (row < 0 || row >= a.rows) {
      if ((threadIdx.x & 31) == 0) raise(a.alarm, a.opcode, row, a.rows);
      continue;
    }
    uint32_t* reached = (uint32_t*)a.reached + 2 * row;
    uint32_t from = a.is_idle ? a.before : reached[0];
    if (follows(a, from, a.before)) advance<C>(a, row, from, reached[1], a.before, (const C*)a.values + i * a.d);
    // All lanes have read the counters by now.
    __syncwarp();
    if ((threadIdx.x & 31) == 0) {
      reached[0] = a.before + 1;
      reached[1] = a.until;
    }
  }
}

// ---- gradients together

// A run of gradient elements: `numel` of them, or d for each row in use.
struct Part {
  void* data;
  const int64_t* count;  // null where all elements count
  int64_t numel, d, first_chunk;
  int32_t dtype, unused;
};
static_assert(sizeof(Part) == 48, "as in optim/cuda.rs");

struct Parts {
  const Part* parts;
  int64_t count, chunks, chunk;
  double* sums;         // a float64 for each chunk, then one for each part
  void* out;            // the norm, or the mark of infinities
  const void* by;       // the norm, or the factor
  double order, most;
  int32_t out_dtype, by_dtype;
};
static_assert(sizeof(Parts) == 80, "as in optim/cuda.rs");

DEVICE int64_t numel_of(const Part& part) { return part.count ? used(part.count, part.numel / part.d) * part.d : part.numel; }

// What is summed for a norm: 0 counts, 1 sizes, 2 squares, infinities the ends, others powers.
struct Order {
  double p;
  DEVICE bool is_end() const { return p == INFINITY || p == -INFINITY; }
  DEVICE double start() const { return p == -INFINITY ? INFINITY : 0.0; }
  DEVICE double share(double x) const {
    if (p == 2.0) return x * x;
    if (p == 0.0) return x != 0.0 ? 1.0 : 0.0;
    return p == 1.0 || is_end() ? fabs(x) : pow(fabs(x), p);
  }
  // A NaN stays.
  DEVICE double join(double a, double b) const {
    if (!is_end()) return a + b;
    return (p > 0.0 ? b > a : b < a) || b != b ? b : a;
  }
  DEVICE double finish(double sum) const {
    if (p == 2.0) return sqrt(sum);
    return p == 0.0 || p == 1.0 || is_end() ? sum : pow(sum, 1.0 / p);
  }
};

// Calls each(place, part) for the elements of the block's chunks, and done(chunk) behind each of them.
template <class F, class G> DEVICE void for_chunks(const Parts& a, F each, G done) {
  for (int64_t chunk = blockIdx.x; chunk < a.chunks; chunk += gridDim.x) {
    const Part& part = a.parts[owner_of(a.parts, a.count, chunk)];
    int64_t all = numel_of(part), from = (chunk - part.first_chunk) * a.chunk;
    int64_t end = from + a.chunk < all ? from + a.chunk : all;
    for (int64_t i = from + threadIdx.x; i < end; i += THREADS) each(i, part);
    done(chunk);
  }
}

// Calls f with the number type that a dtype is computed in.
template <class F> DEVICE void in_type_of(int dtype, F f) {
  if (dtype == F64) f(double());
  else f(float());
}

}  // namespace

KERNEL(optim_step_f32, THREADS, const __grid_constant__ Step a) { optim_step<float>(a, a.sets); }
KERNEL(optim_step_f64, THREADS, const __grid_constant__ Step a) { optim_step<double>(a, a.sets); }
KERNEL(optim_few_f32, THREADS, const __grid_constant__ FewStep a) { optim_step<float>(a.step, a.sets); }
KERNEL(optim_few_f64, THREADS, const __grid_constant__ FewStep a) { optim_step<double>(a.step, a.sets); }
KERNEL(rows_step_f32, THREADS, const __grid_constant__ RowsStep a) { rows_step<float>(a); }
KERNEL(rows_step_f64, THREADS, const __grid_constant__ RowsStep a) { rows_step<double>(a); }
KERNEL(lazy_step_f32, THREADS, const __grid_constant__ Lazy a) { lazy_step<float>(a); }
KERNEL(lazy_step_f64, THREADS, const __grid_constant__ Lazy a) { lazy_step<double>(a); }
KERNEL(lazy_read_f32, THREADS, const __grid_constant__ Lazy a) { lazy_read<float>(a); }
KERNEL(lazy_read_f64, THREADS, const __grid_constant__ Lazy a) { lazy_read<double>(a); }
KERNEL(lazy_sweep_f32, THREADS, const __grid_constant__ Lazy a) { lazy_sweep<float>(a); }
KERNEL(lazy_sweep_f64, THREADS, const __grid_constant__ Lazy a) { lazy_sweep<double>(a); }

// The share of each chunk.
KERNEL(grad_norm_chunks, THREADS, const __grid_constant__ Parts a) {
  Order order{a.order};
  double sum = order.start();
  for_chunks(a, [&](int64_t i, const Part& part) { sum = order.join(sum, order.share(at<double>(part.data, part.dtype, i))); },
             [&](int64_t chunk) {
               sum = join_block(sum, [&](double x, double y) { return order.join(x, y); });
               if (threadIdx.x == 0) a.sums[chunk] = sum;
               sum = order.start();
             });
}

// The chunks of each part together; of squares their sum, else the norm's share in the whole.
KERNEL(grad_norm_parts, THREADS, const __grid_constant__ Parts a) {
  Order order{a.order};
  for (int64_t p = blockIdx.x; p < a.count; p += gridDim.x) {
    int64_t from = a.parts[p].first_chunk, end = p + 1 < a.count ? a.parts[p + 1].first_chunk : a.chunks;
    double sum = order.start();
    for (int64_t i = from + threadIdx.x; i < end; i += THREADS) sum = order.join(sum, a.sums[i]);
    sum = join_block(sum, [&](double x, double y) { return order.join(x, y); });
    if (threadIdx.x == 0) a.sums[a.chunks + p] = a.order == 2.0 ? sum : order.share(order.finish(sum));
  }
}

// One block.
KERNEL(grad_norm_total, THREADS, const __grid_constant__ Parts a) {
  Order order{a.order};
  double sum = order.start();
  for (int64_t i = threadIdx.x; i < a.count; i += THREADS) sum = order.join(sum, a.sums[a.chunks + i]);
  sum = join_block(sum, [&](double x, double y) { return order.join(x, y); });
  if (threadIdx.x == 0) store<double>(a.out, a.out_dtype, 0, a.count == 0 ? 0.0 : order.finish(sum));
}

// Multiplies by min(1, most / (norm + 1e-6)), in the norm's type by a reciprocal, as PyTorch does.
KERNEL(grad_scale, THREADS, const __grid_constant__ Parts a) {
  double factor = 1.0;
  in_type_of(a.by_dtype, [&](auto type) {
    using C = decltype(type);
    factor = (double)product((C)1 / sum(at<C>(a.by, a.by_dtype, 0), (C)1e-6), (C)a.most);
  });
  if (factor >= 1.0) return;
  for_chunks(a, [&](int64_t i, const Part& part) {
    in_type_of(part.dtype, [&](auto type) {
      using C = decltype(type);
      set<C>(part.data, part.dtype, i, product(at<C>(part.data, part.dtype, i), (C)factor));
    });
  }, [](int64_t) {});
}

KERNEL(grad_clamp, THREADS, const __grid_constant__ Parts a) {
  for_chunks(a, [&](int64_t i, const Part& part) {
    in_type_of(part.dtype, [&](auto type) {
      using C = decltype(type);
      C x = at<C>(part.data, part.dtype, i), most = (C)a.most;
      x = x > most ? most : x;
      set<C>(part.data, part.dtype, i, x < -most ? -most : x);
    });
  }, [](int64_t) {});
}

// Multiplies by a factor, and sets the mark where an element was infinite or NaN before.
KERNEL(grad_unscale, THREADS, const __grid_constant__ Parts a) {
  double by = at<double>(a.by, a.by_dtype, 0);
  bool is_bad = false;
  for_chunks(a, [&](int64_t i, const Part& part) {
    in_type_of(part.dtype, [&](auto type) {
      using C = decltype(type);
      C x = at<C>(part.data, part.dtype, i);
      is_bad |= !(fabs(x) < (C)INFINITY);
      set<C>(part.data, part.dtype, i, product(x, (C)by));
    });
  }, [](int64_t) {});
  // Every thread that writes writes the same.
  if (is_bad) atomicExch((unsigned*)a.out, __float_as_uint(1.0f));
}
