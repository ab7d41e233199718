// Random tensors: the streams of random.rs, word for word, and what random.rs in ops makes of them, bit for bit where it
// is arithmetic. Every element depends on (seed, offset, its logical index) alone. Products and sums are rounded one by one,
// as on the CPU: a fused one would give other bits.
#include "map/functions.cuh"
#include "map/map.cuh"

using namespace toro;

namespace {

struct Words { uint32_t w[4]; };

// Philox4x32-10 (Salmon et al. 2011).
DEVICE Words philox(uint64_t counter, uint64_t offset, uint64_t seed) {
  uint32_t a = (uint32_t)counter, b = (uint32_t)(counter >> 32), c = (uint32_t)offset, d = (uint32_t)(offset >> 32);
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    uint64_t p = (uint64_t)0xd2511f53u * a, q = (uint64_t)0xcd9e8d57u * c;
    a = (uint32_t)(q >> 32) ^ b ^ k0;
    b = (uint32_t)q;
    c = (uint32_t)(p >> 32) ^ d ^ k1;
    d = (uint32_t)p;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return {{a, b, c, d}};
}

// The four words of the counter that serves element i of 32-bit draws, and which of them is its own.
DEVICE Words words_of(const Map& a, int64_t i, int* own) {
  *own = (int)(i % 64 / 16);
  return philox((uint64_t)(i / 64) * 16 + (uint64_t)(i % 16), a.scalars[1], a.scalars[0]);
}
DEVICE uint32_t word(const Map& a, int64_t i) {
  int own;
  Words words = words_of(a, i, &own);
  return own == 0 ? words.w[0] : own == 1 ? words.w[1] : own == 2 ? words.w[2] : words.w[3];
}

// As above, for 64-bit draws: two words each.
DEVICE Words long_words_of(const Map& a, int64_t i, int* own) {
  *own = (int)(i % 32 / 16);
  return philox((uint64_t)(i / 32) * 16 + (uint64_t)(i % 16), a.scalars[1], a.scalars[0]);
}
DEVICE uint64_t long_word(const Map& a, int64_t i) {
  int own;
  Words words = long_words_of(a, i, &own);
  return own == 0 ? words.w[0] | (uint64_t)words.w[1] << 32 : words.w[2] | (uint64_t)words.w[3] << 32;
}

DEVICE float unit(uint32_t word) { return (float)(int32_t)(word >> 8) * (1.0f / 16777216.0f); }
DEVICE double unit(uint64_t word) { return (double)(int64_t)(word >> 11) * (1.0 / 9007199254740992.0); }

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
  float steps = steps_of(a), u = (float)(int32_t)__fmul_rn(unit(word(a, i)), steps) / steps;
  return __fadd_rn(low, __fmul_rn(span, u));
}
DEVICE float normal_of(const Map& a, int64_t i) {
  int own;
  Words words = words_of(a, i, &own);
  return own < 2 ? normal(words.w[0], words.w[1], own == 1) : normal(words.w[2], words.w[3], own == 3);
}
DEVICE double long_normal_of(const Map& a, int64_t i) {
  int own;
  Words words = long_words_of(a, i, &own);
  double u = 1.0 - unit(words.w[0] | (uint64_t)words.w[1] << 32), turn = unit(words.w[2] | (uint64_t)words.w[3] << 32);
  double radius = sqrt(-2.0 * log(u)), angle = 6.283185307179586 * turn;
  return own == 0 ? radius * cos(angle) : radius * sin(angle);
}
// A whole number below a range from 64 random bits; 0 stands for 2⁶⁴.
DEVICE uint64_t below(uint64_t range, uint64_t bits) { return range == 0 ? bits : __umul64hi(bits, range); }

}  // namespace

RANDOM_KERNEL(uniform, float, f32, 0, (int64_t i), uniform(a, i, (float)p, (float)(q - p)))
RANDOM_KERNEL(uniform, double, f64, 0, (int64_t i), __dadd_rn(p, __dmul_rn(q - p, unit(long_word(a, i)))))
RANDOM_KERNEL(normal, float, f32, 0, (int64_t i), __fadd_rn((float)p, __fmul_rn((float)q, normal_of(a, i))))
RANDOM_KERNEL(normal, double, f64, 0, (int64_t i), __dadd_rn(p, __dmul_rn(q, long_normal_of(a, i))))
RANDOM_KERNEL(exponential, double, f64, 0, (int64_t i), -log(1.0 - unit(long_word(a, i))) / p)
// Scalars as int64: the least number, how many there are.
RANDOM_KERNEL(randint, int64_t, i64, 0, (int64_t i), (int64_t)(a.scalars[2] + below(a.scalars[3], long_word(a, i))))
// Scalar as int64: words below it give 1.
RANDOM_KERNEL(bernoulli, float, f32, 0, (int64_t i), word(a, i) < a.scalars[2])
RANDOM_KERNEL(bernoulli_of, double, f64, 1, (int64_t i, double x), unit(long_word(a, i)) < x)
// Scalars: words from this int64 on are kept, times the float64 behind it.
RANDOM_KERNEL(dropout, float, f32, 1, (int64_t i, float x), word(a, i) >= a.scalars[2] ? x * (float)q : 0.0f)
RANDOM_KERNEL(dropout, double, f64, 1, (int64_t i, double x), word(a, i) >= a.scalars[2] ? x * q : 0.0)
