// Floats of every width as the stand-ins for NVIDIA's libraries read and write them. Those libraries number the types alike
// but for bfloat16, which is what has none of these numbers.
#pragma once
#include <cstdint>
#include <cstring>

enum : int { F32 = 0, F64 = 1, F16 = 2 };

inline double half(uint16_t h) {
  _Float16 x;
  memcpy(&x, &h, 2);
  return (double)(float)x;
}
inline double element(const void* p, int type, int64_t i) {
  if (type == F64) return ((const double*)p)[i];
  if (type == F32) return ((const float*)p)[i];
  uint16_t bits = ((const uint16_t*)p)[i];
  if (type == F16) return half(bits);
  uint32_t word = (uint32_t)bits << 16;
  float x;
  memcpy(&x, &word, 4);
  return x;
}
inline void put(void* p, int type, int64_t i, double x) {
  if (type == F64) ((double*)p)[i] = x;
  else if (type == F32) ((float*)p)[i] = (float)x;
  else if (type == F16) {
    _Float16 h = (_Float16)(float)x;
    memcpy((uint16_t*)p + i, &h, 2);
  } else {
    float f = (float)x;
    uint32_t word;
    memcpy(&word, &f, 4);
    ((uint16_t*)p)[i] = f != f ? 0x7fff : (uint16_t)((word + 0x7fff + (word >> 16 & 1)) >> 16);
  }
}
// As TF32 has it: ten bits behind the point.
inline double rounded(double x) {
  float f = (float)x;
  uint32_t word;
  memcpy(&word, &f, 4);
  word = (word + 0x1000) & ~0x1fffu;
  memcpy(&f, &word, 4);
  return f;
}
