// The streams of random numbers, word for word those of native/src/random.rs: every element depends on (seed, offset, its
// logical index) alone.
#pragma once
#include "device.cuh"

namespace toro {

struct Stream { uint64_t seed, offset; };
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
DEVICE Words words_of(Stream s, int64_t i, int* own) {
  *own = (int)(i % 64 / 16);
  return philox((uint64_t)(i / 64) * 16 + (uint64_t)(i % 16), s.offset, s.seed);
}
DEVICE uint32_t word(Stream s, int64_t i) {
  int own;
  Words words = words_of(s, i, &own);
  return own == 0 ? words.w[0] : own == 1 ? words.w[1] : own == 2 ? words.w[2] : words.w[3];
}

// As above, for 64-bit draws: two words each.
DEVICE Words long_words_of(Stream s, int64_t i, int* own) {
  *own = (int)(i % 32 / 16);
  return philox((uint64_t)(i / 32) * 16 + (uint64_t)(i % 16), s.offset, s.seed);
}
DEVICE uint64_t long_word(Stream s, int64_t i) {
  int own;
  Words words = long_words_of(s, i, &own);
  return own == 0 ? words.w[0] | (uint64_t)words.w[1] << 32 : words.w[2] | (uint64_t)words.w[3] << 32;
}

DEVICE float unit(uint32_t word) { return (float)(int32_t)(word >> 8) * (1.0f / 16777216.0f); }
DEVICE double unit(uint64_t word) { return (double)(int64_t)(word >> 11) * (1.0 / 9007199254740992.0); }
// A whole number below a range from 64 random bits; 0 stands for 2⁶⁴.
DEVICE uint64_t below(uint64_t range, uint64_t bits) { return range == 0 ? bits : __umul64hi(bits, range); }

}  // namespace toro
