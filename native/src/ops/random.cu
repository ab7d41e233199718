// Random tensors: what random.rs makes of the streams in random/streams.cuh, bit for bit where it is arithmetic. Products and
// sums are rounded one by one, as on the CPU: a fused one would give other bits.
#include "lines/lines.cuh"
#include "map/functions.cuh"
#include "map/map.cuh"
#include "random/streams.cuh"

using namespace toro;

namespace {

DEVICE Stream stream_of(const Map& a) { return {a.scalars[0], a.scalars[1]}; }

// ln x with the CPU's bits (math.rs: log_f32), for the positive normal numbers that normals need.
DEVICE float exact_log(float x) {
  uint32_t bits = __float_as_uint(x) - 0x3f3504f3u;
  float e = (float)((int32_t)bits >> 23);
  float f = __fsub_rn(__uint_as_float((bits & 0x007fffffu) + 0x3f3504f3u), 1.0f);
  const float c[9] = {7.0376836e-2f, -1.1514610e-1f, 1.16769987e-1f, -1.24201408e-1f, 1.4249323e-1f,
                      -1.6668058e-1f, 2.0000715e-1f, -2.4999994e-1f, 3.3333331e-1f};
  float p = c[0];
#pragma unroll
  for (int i = 1; i < 9; i++) p = __fadd_rn(__fmul_rn(p, f), c[i]);
  float square = __fmul_rn(f, f);
  float tail = __fsub_rn(__fmul_rn(square, __fmul_rn(f, p)), __fmul_rn(square, 0.5f));
  tail = __fadd_rn(tail, __fmul_rn(e, -2.1219444e-4f));
  return __fadd_rn(__fadd_rn(f, tail), __fmul_rn(e, 0.693359375f));
}

// One of the two normals of a pair of words (Box and Muller), with the CPU's bits (random.rs: normal_pair_f32).
DEVICE float normal(uint32_t first, uint32_t second, bool is_second) {
  float u = __fmul_rn(__fadd_rn((float)(int32_t)(first >> 1), 0.5f), 1.0f / 2147483648.0f);
  float radius = sqrtf(__fmul_rn(-2.0f, exact_log(u)));
  uint32_t quarter = (second + (1u << 29)) >> 30;
  float t = __fmul_rn((float)(int32_t)(second << 2), 1.0f / 4294967296.0f);
  float r = __fmul_rn(t, 1.57079632679489662f), z = __fmul_rn(r, r);
  float sine = __fadd_rn(__fmul_rn(-1.9515296e-4f, z), 8.332161e-3f);
  sine = __fsub_rn(__fmul_rn(sine, z), 1.6666655e-1f);
  sine = __fadd_rn(__fmul_rn(__fmul_rn(sine, z), r), r);
  float cosine = __fsub_rn(__fmul_rn(2.4433157e-5f, z), 1.3887316e-3f);
  cosine = __fadd_rn(__fmul_rn(cosine, z), 4.1666646e-2f);
  cosine = __fadd_rn(__fsub_rn(__fmul_rn(__fmul_rn(cosine, z), z), __fmul_rn(0.5f, z)), 1.0f);
  bool is_odd = quarter & 1;
  float x = is_odd ? sine : cosine, y = is_odd ? cosine : sine;
  uint32_t flip = is_second ? (quarter & 2) << 30 : ((quarter + 1) & 2) << 30;
  float value = __uint_as_float(__float_as_uint(is_second ? y : x) ^ flip);
  return __fmul_rn(radius, value);
}

}  // namespace

// Scalars of all: seed, offset, then two of the op's own as float64 bits unless said otherwise.
#define RANDOM_KERNEL(name, type, suffix, N, parameters, value)                                   \
  KERNEL(random_##name##_##suffix, MAP_THREADS, const __grid_constant__ Map a) {                  \
    using C = type;                                                                               \
    [[maybe_unused]] double p = Bits<double>::of(a.scalars[2]), q = Bits<double>::of(a.scalars[3]); \
    map_by_index<C, N>(a, [&] parameters -> C { return (C)(value); });                            \
  }

namespace {

// A float type shows so many steps of [0, 1): more would round up to 1.
DEVICE float steps_of(const Map& a) { return a.dtypes[0] == BF16 ? 256.0f : a.dtypes[0] == F16 ? 2048.0f : 16777216.0f; }
DEVICE float uniform(const Map& a, int64_t i, float low, float span) {
  float steps = steps_of(a), u = (float)(int32_t)__fmul_rn(unit(word(stream_of(a), i)), steps) / steps;
  return __fadd_rn(low, __fmul_rn(span, u));
}
DEVICE float normal_of(const Map& a, int64_t i) {
  int own;
  Words words = words_of(stream_of(a), i, &own);
  return own < 2 ? normal(words.w[0], words.w[1], own == 1) : normal(words.w[2], words.w[3], own == 3);
}
DEVICE double long_normal_of(const Map& a, int64_t i) {
  int own;
  Words words = long_words_of(stream_of(a), i, &own);
  double u = 1.0 - unit(words.w[0] | (uint64_t)words.w[1] << 32), turn = unit(words.w[2] | (uint64_t)words.w[3] << 32);
  double radius = sqrt(-2.0 * log(u)), angle = 6.283185307179586 * turn;
  return own == 0 ? radius * cos(angle) : radius * sin(angle);
}
}  // namespace

RANDOM_KERNEL(uniform, float, f32, 0, (int64_t i), uniform(a, i, (float)p, (float)(q - p)))
RANDOM_KERNEL(uniform, double, f64, 0, (int64_t i), __dadd_rn(p, __dmul_rn(q - p, unit(long_word(stream_of(a), i)))))
RANDOM_KERNEL(normal, float, f32, 0, (int64_t i), __fadd_rn((float)p, __fmul_rn((float)q, normal_of(a, i))))
RANDOM_KERNEL(normal, double, f64, 0, (int64_t i), __dadd_rn(p, __dmul_rn(q, long_normal_of(a, i))))
RANDOM_KERNEL(exponential, double, f64, 0, (int64_t i), -log(1.0 - unit(long_word(stream_of(a), i))) / p)
// Scalars as int64: the least number, how many there are.
RANDOM_KERNEL(randint, int64_t, i64, 0, (int64_t i), (int64_t)(a.scalars[2] + below(a.scalars[3], long_word(stream_of(a), i))))
// Scalar as int64: words below it give 1.
RANDOM_KERNEL(bernoulli, float, f32, 0, (int64_t i), word(stream_of(a), i) < a.scalars[2])
RANDOM_KERNEL(bernoulli_of, double, f64, 1, (int64_t i, double x), unit(long_word(stream_of(a), i)) < x)
// Scalars: words from this int64 on are kept, times the float64 behind it.
RANDOM_KERNEL(dropout, float, f32, 1, (int64_t i, float x), word(stream_of(a), i) >= a.scalars[2] ? x * (float)q : 0.0f)
RANDOM_KERNEL(dropout, double, f64, 1, (int64_t i, double x), word(stream_of(a), i) >= a.scalars[2] ? x * q : 0.0)

// ---- a random order

namespace {

// Mirrors Shuffle in random/cuda.rs.
struct Shuffle {
  int64_t* out;
  unsigned long long* owners;  // of each place: the first swap that wants it in this round
  uint8_t* done;               // of each swap
  int64_t* left;               // how many swaps are not done
  int64_t n, round;            // rounds are counted down, so that later owners are smaller than those before
  Stream stream;
};
static_assert(sizeof(Shuffle) == 64, "as in random/cuda.rs");

// The place that place i is swapped with.
DEVICE int64_t partner(const Shuffle& a, int64_t i) { return i + (int64_t)below((uint64_t)(a.n - i), long_word(a.stream, i)); }
DEVICE unsigned long long owner(const Shuffle& a, int64_t i) { return (unsigned long long)a.round << 32 | (unsigned long long)i; }
DEVICE void swap(const Shuffle& a, int64_t i) {
  int64_t j = partner(a, i), x = a.out[i];
  a.out[i] = a.out[j];
  a.out[j] = x;
  a.done[i] = 1;
}

}  // namespace

KERNEL(shuffle_start, MAP_THREADS, const __grid_constant__ Shuffle a) {
  for (int64_t i = thread_number(); i < a.n; i += thread_count()) {
    a.out[i] = i;
    a.owners[i] = ~0ull;
    a.done[i] = 0;
  }
  if (thread_number() == 0) *a.left = a.n;
}

// The swaps of Fisher and Yates, one after the other on the CPU, touch two places each: one that is the first of those left
// to want both its places is done, and so a round does many at once (Shun et al. 2015: O(log n) rounds do all).
KERNEL(shuffle_reserve, MAP_THREADS, const __grid_constant__ Shuffle a) {
  if (*a.left == 0) return;
  for (int64_t i = thread_number(); i < a.n; i += thread_count()) {
    if (a.done[i]) continue;
    atomicMin(&a.owners[i], owner(a, i));
    atomicMin(&a.owners[partner(a, i)], owner(a, i));
  }
}
KERNEL(shuffle_swap, MAP_THREADS, const __grid_constant__ Shuffle a) {
  for (int64_t i = thread_number(); i < a.n; i += thread_count()) {
    if (a.done[i] || a.owners[i] != owner(a, i) || a.owners[partner(a, i)] != owner(a, i)) continue;
    swap(a, i);
    atomicAdd((unsigned long long*)a.left, ~0ull);
  }
}
// What all rounds have left, in order.
KERNEL(shuffle_rest, MAP_THREADS, const __grid_constant__ Shuffle a) {
  if (thread_number() != 0 || *a.left == 0) return;
  for (int64_t i = 0; i < a.n; i++) {
    if (!a.done[i]) swap(a, i);
  }
}

// ---- classes by their weights

namespace {

// Mirrors Draws in random/cuda.rs.
struct Draws {
  Lines lines;          // operands a float64 for each weight, weights (R, K)
  const double* sums;   // (R, K), running ones of the weights
  int64_t* out;         // (R, N)
  int64_t samples;
  Stream stream;
  int64_t with_replacement;
};
static_assert(sizeof(Draws) == 2584, "as in random/cuda.rs");

DEVICE double weight(const Draws& a, int64_t row, int64_t k) {
  return get<double>(a.lines, 1, line_start(a.lines, 1, row), k);
}

}  // namespace

// With replacement the weights themselves; without, each class runs a race of exponential times that the first N win
// (Efraimidis and Spirakis 2006), in which a class without weight never arrives. A block takes a row.
KERNEL(multinomial_times, LINE_THREADS, const __grid_constant__ Draws a) {
  for (int64_t row = blockIdx.x; row < a.lines.count; row += gridDim.x) {
    int64_t from = line_start(a.lines, 1, row), to = line_start(a.lines, 0, row), n = a.lines.length;
    double sum = 0.0, wrong = 0.0, above = 0.0;
    for (int64_t k = threadIdx.x; k < n; k += blockDim.x) {
      double w = get<double>(a.lines, 1, from, k);
      sum += w;
      if (w < 0.0) wrong = 1.0;
      if (w > 0.0) above += 1.0;
      double time = w > 0.0 ? -log(1.0 - unit(long_word(a.stream, row * n + k))) / w : (double)INFINITY;
      put<double>(a.lines, 0, to, k, a.with_replacement ? w : time);
    }
    sum = sum_block(sum);
    wrong = sum_block(wrong);
    above = sum_block(above);
    if (threadIdx.x != 0) continue;
    if (!(sum > 0.0 && sum < (double)INFINITY) || wrong > 0.0) raise_for(BAD_WEIGHTS, a.lines.alarm, a.lines.opcode, row, 0);
    else if (!a.with_replacement && above < (double)a.samples) {
      raise_for(FEW_WEIGHTS, a.lines.alarm, a.lines.opcode, row, a.samples);
    }
  }
}

// The class in whose part of the sum a number falls, with replacement.
KERNEL(multinomial_draw, LINE_THREADS, const __grid_constant__ Draws a) {
  int64_t n = a.lines.length;
  for (int64_t i = thread_number(); i < a.lines.count * a.samples; i += thread_count()) {
    int64_t row = i / a.samples, low = 0, high = n - 1;
    const double* sums = a.sums + row * n;
    double at = unit(long_word(a.stream, i)) * sums[n - 1];
    while (low < high) {
      int64_t mid = (low + high) / 2;
      if (sums[mid] <= at) low = mid + 1;
      else high = mid;
    }
    // Where rounding leads to a class without weight, a neighbour is meant.
    while (low > 0 && !(weight(a, row, low) > 0.0)) low--;
    while (low < n - 1 && !(weight(a, row, low) > 0.0)) low++;
    a.out[i] = low;
  }
}
