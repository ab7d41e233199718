// What the programs have in common that make one mistake each with the stand-in for cuDNN.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cstring>

using Address = unsigned long long;
extern "C" {
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void**, int);
int cuCtxSetCurrent(void*);
int cuMemAlloc_v2(Address*, size_t);
int cuMemcpyHtoDAsync_v2(Address, const void*, size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, Address, size_t, void*);
int cuStreamCreate(void**, unsigned);
int cuStreamSynchronize(void*);
int cudnnCreate(void**);
int cudnnDestroy(void*);
int cudnnSetStream(void*, void*);
}

static void check(int code, const char* what) {
  if (code == 0) return;
  fprintf(stderr, "refused: %s gives %d\n", what, code);
  exit(4);
}
#define CHECK(name, ...) check(name(__VA_ARGS__), #name)
