// Runs a grid: blocks one after another, the threads of a block as fibers. A fiber runs thread after thread to the end;
// only a thread that has to wait keeps its fiber until it can go on. Compiled into each library of emulated kernels.
//
// EMULATOR_ORDER=forward|reverse|random   the order in which threads start and blocks run
// What is found: barriers and warp operations that threads reach in different places or never; and, because shared
// memory begins as NaN in each block, reads of what was not written or not yet.
#include "language.h"
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <link.h>
#include <sys/mman.h>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
extern "C" void __sanitizer_start_switch_fiber(void**, const void*, size_t);
extern "C" void __sanitizer_finish_switch_fiber(void*, const void**, size_t*);
#endif
#ifdef EMULATOR_TSAN
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned);
void __tsan_switch_to_fiber(void*, unsigned);
void __tsan_acquire(void*);
void __tsan_release(void*);
}
#define ACQUIRE(p) __tsan_acquire(p)
#define RELEASE(p) __tsan_release(p)
#else
#define ACQUIRE(p)
#define RELEASE(p)
#endif

namespace emulator {

Thread* current = nullptr;
Kernel* kernels = nullptr;

namespace {

constexpr size_t STACK = 256 << 10;
enum State { FRESH, READY, AT_BARRIER, IN_WARP, DONE };

struct Fiber {
  void* stack_pointer = nullptr;
  char* stack = nullptr;
  void* sanitizer = nullptr;
  void* fake_stack = nullptr;
};

// A warp operation under way: the lanes of one mask.
struct Group {
  uint32_t mask, arrived = 0;
  Completer complete;
  const char* what;
  int line;
  alignas(16) unsigned char in[32][SLOT], out[32][SLOT];
  char sync;
};

struct Warp {
  uint32_t alive;
  std::vector<Group*> groups;
};

std::vector<Thread> threads;
std::vector<Warp> warps;
std::vector<Fiber*> idle, all;
// Fibers and sanitizer contexts by thread, where one must stand for one thread only.
std::vector<Fiber*> by_thread;
std::vector<int> order, ready;
size_t next_fresh = 0, next_ready = 0;
int alive = 0, at_barrier = 0, barrier_line = 0;
[[maybe_unused]] char barrier_sync, start_sync;
Fiber main_fiber;
Fiber* entering;
[[maybe_unused]] const void* main_bottom = nullptr;
[[maybe_unused]] size_t main_size = 0;
bool failed = false;
char message[512];
uint64_t seed = 1;
void (*body)(const void*);
const void* parameter;

// Saves the registers that a call keeps on one stack and takes them from another.
extern "C" void emulator_switch(void** save, void* load);
asm(R"(.text
.local emulator_switch
emulator_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
)");

void to_main(Fiber* from) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&from->fake_stack, main_bottom, main_size);
#endif
#ifdef EMULATOR_TSAN
  __tsan_switch_to_fiber(main_fiber.sanitizer, 1);
#endif
  emulator_switch(&from->stack_pointer, main_fiber.stack_pointer);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(from->fake_stack, &main_bottom, &main_size);
#endif
}

void to_fiber(Fiber* to) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&main_fiber.fake_stack, to->stack, STACK);
#endif
#ifdef EMULATOR_TSAN
  __tsan_switch_to_fiber(to->sanitizer, 1);
#endif
  emulator_switch(&main_fiber.stack_pointer, to->stack_pointer);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(main_fiber.fake_stack, nullptr, nullptr);
#endif
}

void release_barrier() {
  for (Thread& t : threads) {
    if (t.state != AT_BARRIER) continue;
    t.state = READY;
    ready.push_back(t.number);
  }
  at_barrier = 0;
}

// The last lane has come, or those that are missing have ended.
void complete(Group* g, int warp, int self) {
  uint32_t lanes = g->arrived;
  g->arrived = 0;
  ACQUIRE(&g->sync);
  g->complete(g->in, g->out, lanes);
  RELEASE(&g->sync);
  for (int l = 0; l < 32; l++) {
    if (!(lanes >> l & 1) || l == self) continue;
    Thread& t = threads[warp * 32 + l];
    t.state = READY;
    ready.push_back(t.number);
  }
}

void thread_ended(Thread* t) {
  t->state = DONE;
  alive--;
  Warp& w = warps[t->warp];
  w.alive &= ~(1u << t->lane);
  for (Group* g : w.groups) {
    if (g->arrived && (g->mask & w.alive & ~g->arrived) == 0) complete(g, t->warp, -1);
  }
  if (alive && at_barrier == alive) release_barrier();
}

void fiber_main() {
  Fiber* self = entering;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &main_bottom, &main_size);
#endif
  for (;;) {
    while (next_fresh < order.size() && next_ready >= ready.size()) {
      Thread* t = &threads[order[next_fresh++]];
      t->fiber = self;
      t->state = READY;
      current = t;
      ACQUIRE(&start_sync);
      body(parameter);
      thread_ended(current);
      RELEASE(&barrier_sync);
#ifdef EMULATOR_TSAN
      break;
#endif
    }
#ifndef EMULATOR_TSAN
    idle.push_back(self);
#endif
    to_main(self);
  }
}

Fiber* take_fiber() {
  if (!idle.empty()) {
    Fiber* f = idle.back();
    idle.pop_back();
    return f;
  }
  Fiber* f = new Fiber;
  all.push_back(f);
  f->stack = (char*)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  void** top = (void**)(f->stack + STACK);
  *--top = nullptr;
  *--top = (void*)fiber_main;
  for (int i = 0; i < 6; i++) *--top = nullptr;
  f->stack_pointer = top;
  return f;
}

// A failed block leaves fibers in the middle of kernels: they go with all they hold.
void drop_fibers() {
  for (Fiber* f : all) {
    munmap(f->stack, STACK);
    delete f;
  }
  all.clear();
  idle.clear();
  by_thread.clear();
}

uint64_t random_number() {
  seed = seed * 6364136223846793005ull + 1442695040888963407ull;
  return seed >> 33;
}

enum Order { FORWARD, REVERSE, RANDOM };

Order wanted_order() {
  const char* name = getenv("EMULATOR_ORDER");
  if (!name || !strcmp(name, "forward")) return FORWARD;
  return !strcmp(name, "reverse") ? REVERSE : RANDOM;
}

template <class T> void arrange(std::vector<T>& items, Order by) {
  if (by == REVERSE) std::reverse(items.begin(), items.end());
  if (by == RANDOM) {
    for (size_t i = items.size(); i > 1; i--) std::swap(items[i - 1], items[random_number() % i]);
  }
}

#ifndef EMULATOR_SANITIZED
// Makes this library's thread-local memory exist.
thread_local volatile char touched;

int find_shared(dl_phdr_info* info, size_t, void* found) {
  uintptr_t here = (uintptr_t)&find_shared;
  bool is_mine = false;
  size_t bytes = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)& part = info->dlpi_phdr[i];
    uintptr_t start = info->dlpi_addr + part.p_vaddr;
    is_mine |= part.p_type == PT_LOAD && here >= start && here < start + part.p_memsz;
    if (part.p_type == PT_TLS) bytes = part.p_memsz;
  }
  if (!is_mine || !info->dlpi_tls_data) return is_mine;
  memset(info->dlpi_tls_data, 0xff, bytes);
  *(bool*)found = true;
  return 1;
}
#endif

// Fills what kernels declare as shared with NaN.
void poison_shared() {
#ifndef EMULATOR_SANITIZED
  touched = 1;
  bool found = false;
  dl_iterate_phdr(find_shared, &found);
  if (!found) abort();
#endif
}

void prepare(uint3 block, uint3 grid, uint3 size, void* shared, Order by) {
  int n = (int)(size.x * size.y * size.z);
  if ((int)threads.size() != n) {
    threads.assign(n, Thread{});
    for (Warp& w : warps) {
      for (Group* g : w.groups) delete g;
    }
    warps.assign((n + 31) / 32, Warp{});
    order.resize(n);
  }
  for (int i = 0; i < n; i++) {
    unsigned u = (unsigned)i;
    uint3 index{u % size.x, u / size.x % size.y, u / (size.x * size.y)};
    threads[i] = Thread{index, block, size, grid, i, i & 31, i >> 5, FRESH, nullptr, shared, {}, 0};
    order[i] = i;
  }
  for (size_t w = 0; w < warps.size(); w++) {
    int left = n - (int)w * 32;
    warps[w].alive = left >= 32 ? ~0u : (1u << left) - 1;
    for (Group* g : warps[w].groups) g->arrived = 0;
  }
  arrange(order, by);
  next_fresh = next_ready = 0;
  ready.clear();
  alive = n;
  at_barrier = 0;
  failed = false;
}

bool run_block() {
#ifdef EMULATOR_TSAN
  main_fiber.sanitizer = __tsan_get_current_fiber();
#endif
  for (;;) {
    if (next_ready < ready.size()) {
      Thread* t = &threads[ready[next_ready++]];
      if (next_ready == ready.size()) {
        ready.clear();
        next_ready = 0;
      }
      current = t;
      to_fiber((Fiber*)t->fiber);
    } else if (next_fresh < order.size()) {
#ifdef EMULATOR_TSAN
      // One fiber and one stack for each thread, kept over blocks: stacks that threads share would look like races.
      size_t number = (size_t)order[next_fresh];
      if (by_thread.size() <= number) by_thread.resize(number + 1);
      if (!by_thread[number]) {
        by_thread[number] = take_fiber();
        by_thread[number]->sanitizer = __tsan_create_fiber(0);
      }
      entering = by_thread[number];
      RELEASE(&start_sync);
#else
      entering = take_fiber();
#endif
      to_fiber(entering);
    } else {
      break;
    }
    if (failed) return false;
  }
  current = nullptr;
  ACQUIRE(&barrier_sync);
  if (alive == 0) return true;
  for (Thread& t : threads) {
    if (t.state != AT_BARRIER && t.state != IN_WARP) continue;
    snprintf(message, sizeof message, "%d of %zu threads wait for ever, the first of them (%u, %u, %u) in %s", alive,
             threads.size(), t.index.x, t.index.y, t.index.z, t.state == AT_BARRIER ? "__syncthreads" : "a warp operation");
    break;
  }
  return false;
}

void wait_as(Thread* t, State state) {
  t->state = state;
  to_main((Fiber*)t->fiber);
}

}  // namespace

void fail(const char* format, ...) {
  char text[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  const Thread& t = *current;
  snprintf(message, sizeof message, "block (%u, %u, %u) thread (%u, %u, %u): %s", t.block.x, t.block.y, t.block.z, t.index.x,
           t.index.y, t.index.z, text);
  failed = true;
  to_main((Fiber*)t.fiber);
  abort();
}

void barrier(const char* what, int line) {
  RELEASE(&barrier_sync);
  if (at_barrier && barrier_line != line) {
    fail("divergent %s: this thread waits in line %d, others in line %d", what, line, barrier_line);
  }
  barrier_line = line;
  if (++at_barrier == alive) release_barrier();
  else wait_as(current, AT_BARRIER);
  ACQUIRE(&barrier_sync);
}

Slots warp_operation(uint32_t mask, const void* value, int n, Completer complete_with, const char* what, int line) {
  Thread* t = current;
  Warp& w = warps[t->warp];
  if (!(mask >> t->lane & 1)) fail("%s in line %d: the mask %08x is without the calling lane %d", what, line, mask, t->lane);
  Group* g = nullptr;
  for (Group* known : w.groups) {
    if (known->mask == mask) g = known;
  }
  if (!g) {
    g = new Group;
    g->mask = mask;
    w.groups.push_back(g);
  }
  if (g->arrived && (g->line != line || strcmp(g->what, what))) {
    fail("divergent warp operation: lane %d is in %s, line %d, other lanes of the mask %08x in %s, line %d", t->lane, what,
         line, mask, g->what, g->line);
  }
  g->what = what;
  g->line = line;
  g->complete = complete_with;
  // Byte by byte, so that no intercepted function touches the slots.
  for (int i = 0; i < n; i++) ((volatile unsigned char*)g->in[t->lane])[i] = ((const volatile unsigned char*)value)[i];
  g->arrived |= 1u << t->lane;
  RELEASE(&g->sync);
  if ((mask & w.alive & ~g->arrived) == 0) {
    complete(g, t->warp, t->lane);
  } else {
    wait_as(t, IN_WARP);
    ACQUIRE(&g->sync);
  }
  return g->out;
}

}  // namespace emulator

// The symbols by which the stand-in driver finds and runs kernels.
extern "C" __attribute__((visibility("default"))) const emulator::Kernel* emulator_kernels() { return emulator::kernels; }

extern "C" __attribute__((visibility("default"))) int emulator_launch(void (*call)(const void*), const void* parameter,
                                                                        const unsigned grid[3], const unsigned block[3],
                                                                        size_t shared_bytes, char* error, size_t room) {
  using namespace emulator;
  Order by = wanted_order();
  body = call;
  emulator::parameter = parameter;
  uint64_t count = (uint64_t)grid[0] * grid[1] * grid[2];
  std::vector<uint64_t> blocks(count);
  for (uint64_t i = 0; i < count; i++) blocks[i] = i;
  arrange(blocks, by);
  // A block of the exact size, so that the address sanitizer sees its end.
  char* shared = shared_bytes ? (char*)malloc(shared_bytes) : nullptr;
  bool good = true;
  for (uint64_t i : blocks) {
    uint3 place{(unsigned)(i % grid[0]), (unsigned)(i / grid[0] % grid[1]), (unsigned)(i / ((uint64_t)grid[0] * grid[1]))};
    if (shared) memset(shared, 0xff, shared_bytes);
    poison_shared();
    prepare(place, {grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, shared, by);
    if ((good = run_block())) continue;
    snprintf(error, room, "%s", message);
    drop_fibers();
    break;
  }
  free(shared);
  return good ? 0 : 1;
}
