// What the stand-in's two halves, convolutions (cudnn.cpp) and graphs (cudnn_graph.cpp), have in common.
#pragma once
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "numbers.h"

#define API extern "C" __attribute__((visibility("default")))

using Address = unsigned long long;
extern "C" {
int cuLaunchHostFunc(void* stream, void (*work)(void*), void* data);
int cuCtxGetCurrent(void** context);
int cuStreamGetCtx(void* stream, void** context);
int cuMemGetAddressRange_v2(Address* base, size_t* bytes, Address address);
}

using Status = int;
enum : Status {
  SUCCESS = 0, NOT_INITIALIZED = 1001, BAD_PARAM = 2000, NULL_POINTER = 2002, MISALIGNED = 2003, OUT_OF_BOUND = 2005,
  TOO_SMALL = 2006, STREAM_MISMATCH = 2007, SHAPE_MISMATCH = 2008, NOT_SUPPORTED = 3000, WRONG_TYPE = 3003, LAYOUT = 3004,
  EXECUTION_FAILED = 5000,
};
enum : int { BF16 = 9 };

// What is made is known until it is destroyed; its memory stays, so that a use after that is seen.
enum Kind { HANDLE, TENSOR, FILTER, CONVOLUTION, DESCRIPTOR };
struct Thing { Kind kind; };
struct Handle : Thing { void *context, *stream; };
inline auto& mutex = *new std::recursive_mutex;
#define LOCK std::lock_guard<std::recursive_mutex> lock(mutex)
inline auto& living = *new std::set<const void*>;
inline std::string last;

inline const char* setting(const char* name, const char* otherwise) {
  const char* s = getenv(name);
  return s && *s ? s : otherwise;
}
inline bool logs() { return *setting("EMULATOR_LOG", "0") != '0'; }

__attribute__((format(printf, 3, 4))) inline Status wrong(Status status, const char* function, const char* text, ...) {
  char said[400];
  va_list rest;
  va_start(rest, text);
  vsnprintf(said, sizeof said, text, rest);
  va_end(rest);
  last = said;
  fprintf(stderr, "emulator: %s is wrong: %s\n", function, said);
  return status;
}

// What EMULATOR_CUDNN has a function answer; 0 for its work.
inline Status planted(const char* function) {
  std::string all = setting("EMULATOR_CUDNN", ""), key = std::string(function) + "=";
  for (size_t at = 0; (at = all.find(key, at)) != std::string::npos; at++) {
    if (at && all[at - 1] != ',') continue;
    last = "as planted";
    return atoi(all.c_str() + at + key.size());
  }
  return SUCCESS;
}
#define BEGIN                                       \
  LOCK;                                             \
  if (Status answer = planted(__func__)) return answer
#define TRY(call)                                   \
  if (Status answer = call) return answer

template <class T> Status found(const char* function, const void* thing, Kind kind, T** to) {
  if (!living.count(thing)) return wrong(thing ? BAD_PARAM : NULL_POINTER, function, "%p was not made, or is destroyed", thing);
  if (((Thing*)thing)->kind != kind) return wrong(BAD_PARAM, function, "%p is something else", thing);
  *to = (T*)thing;
  return SUCCESS;
}
template <class T> Status make(const char* function, Kind kind, void** to) {
  if (!to) return wrong(NULL_POINTER, function, "no place for what is made");
  T* made = new T{};
  made->kind = kind;
  living.insert(made);
  *to = made;
  return SUCCESS;
}
template <class T> Status destroy(const char* function, Kind kind, void* thing) {
  T* made;
  TRY(found(function, thing, kind, &made));
  living.erase(thing);
  return SUCCESS;
}

// Counts up in row-major order; false after the last one.
template <class T> bool next(int* at, const T* sizes, int n) {
  for (int d = n - 1; d >= 0; d--) {
    if (++at[d] < sizes[d]) return true;
    at[d] = 0;
  }
  return false;
}

inline Status in_memory(const char* function, const char* what, const void* at, size_t bytes) {
  Address base = 0;
  size_t room = 0;
  if (!at || cuMemGetAddressRange_v2(&base, &room, (Address)at) || (Address)at + bytes > base + room) {
    return wrong(OUT_OF_BOUND, function, "%s: %zu bytes at %p are not in one device allocation", what, bytes, at);
  }
  return SUCCESS;
}
