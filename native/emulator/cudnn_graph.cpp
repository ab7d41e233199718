// The half of the stand-in for cuDNN that does graphs (cudnn.cpp does convolutions): the backend's descriptors, whose
// attributes are checked one by one, and every operation of a graph computed by the CPU when its stream comes so far. The
// operations are those of attention; the real library takes the pattern as a whole only, which `deno task test:cudnn` asks it.
//
// EMULATOR_LOG=1                       prints executions
// EMULATOR_CUDNN=name:kind=status,...  what functions answer of descriptors of a kind; without kind, of all
// EMULATOR_CUDNN_WORKSPACE=bytes       what a plan wants beside a part for the sizes
// EMULATOR_CUDNN_COMPILES=1            refuses every plan unless NVRTC is open, as cuDNN does whose kernels are not compiled
#include <dlfcn.h>
#include <memory>

#include "cudnn.h"
#include "cudnn_steps.h"

namespace {

// Types of attributes.
enum : int {
  A_HANDLE = 0, A_TYPE = 1, A_BOOL = 2, A_INT64 = 3, A_ADDRESS = 6, A_HEURISTIC = 8, A_NOTE = 11, A_POINTWISE = 14, A_DESCRIPTOR = 15,
  A_REDUCTION = 18,
};
// What may be set: of which descriptors, under which name, of which type, how many, whether it must be, and of parts which kind.
struct Rule { int kind, name, form, most; bool needed; int part; };
const Rule RULES[] = {
  {POINTWISE, 0, A_POINTWISE, 1, true}, {POINTWISE, 1, A_TYPE, 1, true}, {POINTWISE, 9, A_INT64, 1, false},
  {POINTWISE_OPERATION, 750, A_DESCRIPTOR, 1, true, POINTWISE}, {POINTWISE_OPERATION, 751, A_DESCRIPTOR, 1, true, OPERAND},
  {POINTWISE_OPERATION, 752, A_DESCRIPTOR, 1, false, OPERAND}, {POINTWISE_OPERATION, 753, A_DESCRIPTOR, 1, true, OPERAND},
  {POINTWISE_OPERATION, 758, A_DESCRIPTOR, 1, false, OPERAND},
  {MATMUL, 1500, A_TYPE, 1, true},
  {MATMUL_OPERATION, 1520, A_DESCRIPTOR, 1, true, OPERAND}, {MATMUL_OPERATION, 1521, A_DESCRIPTOR, 1, true, OPERAND},
  {MATMUL_OPERATION, 1522, A_DESCRIPTOR, 1, true, OPERAND}, {MATMUL_OPERATION, 1523, A_DESCRIPTOR, 1, true, MATMUL},
  {REDUCTION, 1600, A_REDUCTION, 1, true}, {REDUCTION, 1601, A_TYPE, 1, true},
  {REDUCTION_OPERATION, 1610, A_DESCRIPTOR, 1, true, OPERAND}, {REDUCTION_OPERATION, 1611, A_DESCRIPTOR, 1, true, OPERAND},
  {REDUCTION_OPERATION, 1612, A_DESCRIPTOR, 1, true, REDUCTION},
  {RESHAPE_OPERATION, 2200, A_DESCRIPTOR, 1, true, OPERAND}, {RESHAPE_OPERATION, 2201, A_DESCRIPTOR, 1, true, OPERAND},
  {OPERAND, 900, A_INT64, 1, true}, {OPERAND, 901, A_TYPE, 1, true}, {OPERAND, 902, A_INT64, 8, true}, {OPERAND, 903, A_INT64, 8, true},
  {OPERAND, 906, A_INT64, 1, true}, {OPERAND, 907, A_BOOL, 1, false}, {OPERAND, 908, A_BOOL, 1, false},
  {GRAPH, 800, A_HANDLE, 1, true}, {GRAPH, 801, A_DESCRIPTOR, 64, true, ANY_OPERATION},
  {HEURISTIC, 200, A_HEURISTIC, 1, true}, {HEURISTIC, 201, A_DESCRIPTOR, 1, true, GRAPH},
  {PLAN, 400, A_HANDLE, 1, true}, {PLAN, 401, A_DESCRIPTOR, 1, true, CONFIG},
  {PACK, 1000, A_INT64, 64, true}, {PACK, 1001, A_ADDRESS, 64, true}, {PACK, 1003, A_ADDRESS, 1, true},
};
const int KINDS[] = {POINTWISE, ENGINE, CONFIG, HEURISTIC, PLAN, POINTWISE_OPERATION, GRAPH, PACK, OPERAND, MATMUL, MATMUL_OPERATION,
                     REDUCTION, REDUCTION_OPERATION, RESHAPE_OPERATION};
size_t size_of(int form) { return form == A_HANDLE || form == A_INT64 || form == A_ADDRESS || form == A_DESCRIPTOR ? 8 : form == A_BOOL ? 1 : 4; }

struct Descriptor : Thing {
  int what = 0;
  bool finished = false;
  std::map<int, std::string> values;
  // Of a configuration or an engine: its graph and number.
  Descriptor* graph = nullptr;
  int engine = 0;

  bool has(int name) const { return values.count(name); }
  template <class T> std::vector<T> all(int name) const {
    auto found = values.find(name);
    if (found == values.end()) return {};
    std::vector<T> to(found->second.size() / sizeof(T));
    memcpy(to.data(), found->second.data(), found->second.size());
    return to;
  }
  template <class T> T one(int name) const {
    T value;
    memcpy(&value, values.at(name).data(), sizeof value);
    return value;
  }
  Descriptor* part(int name) const { return has(name) ? one<Descriptor*>(name) : nullptr; }
  // Of a tensor.
  int type() const { return one<int>(901); }
  std::vector<int64_t> sizes() const { return all<int64_t>(902); }
  std::vector<int64_t> strides() const { return all<int64_t>(903); }
  int64_t number() const { return one<int64_t>(906); }
  bool is_virtual() const { return has(907) && one<bool>(907); }
  bool is_value() const { return has(908) && one<bool>(908); }
  size_t bytes() const { return type() == F32 || type() == I32 ? 4 : type() == BOOL ? 1 : 2; }
  int64_t count() const {
    int64_t n = 1;
    for (int64_t size : sizes()) n *= size;
    return n;
  }
};

bool is_operation(int kind) {
  return kind == POINTWISE_OPERATION || kind == MATMUL_OPERATION || kind == REDUCTION_OPERATION || kind == RESHAPE_OPERATION;
}
const Rule* rule_of(int kind, int name) {
  for (const Rule& rule : RULES) {
    if (rule.kind == kind && rule.name == name) return &rule;
  }
  return nullptr;
}
std::string text(const std::vector<int64_t>& numbers) {
  std::string all;
  for (int64_t n : numbers) all += (all.empty() ? "" : "x") + std::to_string(n);
  return all;
}
Status planted_of(const char* function, int kind) {
  if (Status answer = planted(function)) return answer;
  return planted((std::string(function) + ":" + std::to_string(kind)).c_str());
}
// A living descriptor, finished or not.
Status known(const char* function, void* thing, Descriptor** to) { return found(function, thing, DESCRIPTOR, to); }

// ---- what must hold of a descriptor before it is finished

Status check_operand(const char* function, const Descriptor& t) {
  auto sizes = t.sizes(), strides = t.strides();
  int type = t.type();
  if (type != F32 && type != F16 && type != BF16 && type != I32 && type != BOOL) return wrong(BAD_PARAM, function, "a type of number %d", type);
  if (sizes.size() != 4 || strides.size() != 4) {
    return wrong(NOT_SUPPORTED, function, "%zu sizes and %zu strides in place of four", sizes.size(), strides.size());
  }
  for (int d = 0; d < 4; d++) {
    if (sizes[d] < 1) return wrong(BAD_PARAM, function, "dim %d has %lld elements", d, (long long)sizes[d]);
    if (strides[d] < 1) return wrong(BAD_PARAM, function, "dim %d has a stride of %lld", d, (long long)strides[d]);
  }
  int64_t alignment = t.one<int64_t>(900);
  if (alignment < (int64_t)t.bytes() || (alignment & (alignment - 1))) return wrong(BAD_PARAM, function, "an alignment of %lld", (long long)alignment);
  if (t.is_virtual() && t.is_value()) return wrong(BAD_PARAM, function, "a value that lies nowhere");
  if (t.is_value() && t.count() != 1) return wrong(BAD_PARAM, function, "a value of %lld elements", (long long)t.count());
  return SUCCESS;
}

// Whether each dim of b is that of y or 1.
bool spreads(const Descriptor& b, const Descriptor& y) {
  auto from = b.sizes(), to = y.sizes();
  for (int d = 0; d < 4; d++) {
    if (from[d] != to[d] && from[d] != 1) return false;
  }
  return true;
}

Status check_pointwise(const char* function, const Descriptor& o) {
  const Descriptor &how = *o.part(750), &x = *o.part(751), &y = *o.part(753);
  const Descriptor *b = o.part(752), *t = o.part(758);
  int mode = how.one<int>(0), math = how.one<int>(1);
  bool two = mode == ADD || mode == MUL || mode == DIV || mode == SUB || mode == AT_LEAST || mode == SELECT;
  if (two != !!b || (mode == SELECT) != !!t) return wrong(BAD_PARAM, function, "mode %d with%s b and with%s t", mode, b ? "" : "out", t ? "" : "out");
  if (!spreads(x, y) || (b && !spreads(*b, y)) || (t && !spreads(*t, y))) {
    return wrong(SHAPE_MISMATCH, function, "x of %s and b of %s give y of %s", text(x.sizes()).c_str(), b ? text(b->sizes()).c_str() : "none", text(y.sizes()).c_str());
  }
  int wants = mode == NUMBER ? +I32 : mode == AT_LEAST ? +BOOL : +F32;
  if (math != wants) return wrong(WRONG_TYPE, function, "mode %d in type %d", mode, math);
  bool fits = mode == NUMBER ? y.type() == I32 : mode == AT_LEAST ? y.type() == BOOL && x.type() == I32 && b->type() == I32 : is_float(y.type());
  if (mode == SELECT) fits = fits && t->type() == BOOL;
  if (!fits) return wrong(WRONG_TYPE, function, "mode %d of type %d gives type %d", mode, x.type(), y.type());
  return SUCCESS;
}

Status check_matmul(const char* function, const Descriptor& o) {
  const Descriptor &a = *o.part(1520), &b = *o.part(1521), &c = *o.part(1522);
  auto x = a.sizes(), y = b.sizes(), z = c.sizes();
  bool fits = x[0] == y[0] && x[0] == z[0] && x[1] == z[1] && x[1] % y[1] == 0 && x[2] == z[2] && x[3] == y[2] && y[3] == z[3];
  if (!fits) return wrong(SHAPE_MISMATCH, function, "%s by %s gives %s", text(x).c_str(), text(y).c_str(), text(z).c_str());
  if (o.part(1523)->one<int>(1500) != F32) return wrong(WRONG_TYPE, function, "a product summed in type %d", o.part(1523)->one<int>(1500));
  // The first factor is rounded to the type of the second, where it lies nowhere.
  bool half = b.type() == F16 || b.type() == BF16;
  if (!half || (a.type() != b.type() && !(a.is_virtual() && a.type() == F32))) {
    return wrong(NOT_SUPPORTED, function, "a product of types %d and %d", a.type(), b.type());
  }
  return SUCCESS;
}

Status check_reduction(const char* function, const Descriptor& o) {
  auto x = o.part(1610)->sizes(), y = o.part(1611)->sizes();
  int operation = o.part(1612)->one<int>(1600);
  if (operation != 0 && operation != 3) return wrong(NOT_SUPPORTED, function, "a reduction of number %d", operation);
  if (o.part(1612)->one<int>(1601) != F32) return wrong(WRONG_TYPE, function, "a reduction in type %d", o.part(1612)->one<int>(1601));
  for (int d = 0; d < 4; d++) {
    if (x[d] % y[d]) return wrong(SHAPE_MISMATCH, function, "%s is made %s", text(x).c_str(), text(y).c_str());
  }
  return SUCCESS;
}

Status check_reshape(const char* function, const Descriptor& o) {
  auto x = o.part(2200)->sizes(), y = o.part(2201)->sizes();
  if (x[0] != y[0] || x[1] != y[1] || x[2] != y[3] || x[3] != y[2]) return wrong(SHAPE_MISMATCH, function, "%s turned is %s", text(x).c_str(), text(y).c_str());
  return SUCCESS;
}

const int INPUTS[] = {751, 752, 758, 1520, 1521, 1610, 2200}, OUTPUTS[] = {753, 1522, 1611, 2201};
std::vector<Descriptor*> tensors(const Descriptor& o, bool outputs) {
  std::vector<Descriptor*> found;
  auto look = [&](int name) {
    if (Descriptor* part = o.part(name)) found.push_back(part);
  };
  if (outputs) for (int name : OUTPUTS) look(name);
  else for (int name : INPUTS) look(name);
  return found;
}
std::vector<Descriptor*> operations(const Descriptor& graph) { return graph.all<Descriptor*>(801); }

// Every tensor of a graph by its number.
std::map<int64_t, Descriptor*> tensors_of(const Descriptor& graph) {
  std::map<int64_t, Descriptor*> all;
  for (Descriptor* o : operations(graph)) {
    for (bool outputs : {false, true}) {
      for (Descriptor* t : tensors(*o, outputs)) all[t->number()] = t;
    }
  }
  return all;
}

Status check_graph(const char* function, const Descriptor& graph) {
  std::map<int64_t, Descriptor*> all;
  std::set<Descriptor*> made;
  for (Descriptor* o : operations(graph)) {
    for (bool outputs : {false, true}) {
      for (Descriptor* t : tensors(*o, outputs)) {
        auto [at, fresh] = all.emplace(t->number(), t);
        if (!fresh && at->second != t) return wrong(BAD_PARAM, function, "two tensors of number %lld", (long long)t->number());
        if (outputs && t->is_value()) return wrong(BAD_PARAM, function, "a value is written");
        if (outputs && !made.insert(t).second) return wrong(BAD_PARAM, function, "tensor %lld is made twice", (long long)t->number());
        if (!outputs && t->is_virtual() && !made.count(t)) return wrong(BAD_PARAM, function, "tensor %lld is read before it is made", (long long)t->number());
      }
    }
  }
  return SUCCESS;
}

Status check(const char* function, const Descriptor& d) {
  for (const Rule& rule : RULES) {
    if (rule.kind == d.what && rule.needed && !d.has(rule.name)) return wrong(BAD_PARAM, function, "a descriptor of kind %d without attribute %d", d.what, rule.name);
  }
  switch (d.what) {
    case POINTWISE: {
      int mode = d.one<int>(0);
      bool is_known = mode == ADD || mode == MUL || mode == DIV || mode == SUB || mode == EXP || mode == LOG || mode == AT_LEAST || mode == NUMBER || mode == SELECT;
      if (!is_known) return wrong(NOT_SUPPORTED, function, "a mode of number %d", mode);
      bool axis = d.has(9) && d.one<int64_t>(9) >= 0 && d.one<int64_t>(9) < 4;
      if ((mode == NUMBER) != axis) return wrong(BAD_PARAM, function, "mode %d with%s an axis", mode, axis ? "" : "out");
      return SUCCESS;
    }
    case OPERAND: return check_operand(function, d);
    case POINTWISE_OPERATION: return check_pointwise(function, d);
    case MATMUL_OPERATION: return check_matmul(function, d);
    case REDUCTION_OPERATION: return check_reduction(function, d);
    case RESHAPE_OPERATION: return check_reshape(function, d);
    case GRAPH: return check_graph(function, d);
    case HEURISTIC: {
      int mode = d.one<int>(200);
      return mode == 2 || mode == 3 ? SUCCESS : wrong(NOT_SUPPORTED, function, "a heuristic of number %d", mode);
    }
    case PACK: {
      size_t numbers = d.all<int64_t>(1000).size(), places = d.all<void*>(1001).size();
      return numbers == places ? SUCCESS : wrong(BAD_PARAM, function, "%zu numbers for %zu places", numbers, places);
    }
    default: return SUCCESS;
  }
}

// ---- engines

// Before the good one stand one that refuses, one whose sums depend on time, one that wants a tebibyte and one that fails.
enum { REFUSES, HASTY, GREEDY, FAILS, GOOD };

// The patterns that have engines: two products, or five, of heads whose columns are neighbours and multiples of 8.
bool has_engine(const Descriptor& graph) {
  int products = 0;
  for (Descriptor* o : operations(graph)) products += o->what == MATMUL_OPERATION;
  for (auto [number, t] : tensors_of(graph)) {
    if (t->is_virtual() || t->is_value() || t->type() == F32) continue;
    auto sizes = t->sizes(), strides = t->strides();
    int columns = strides[3] == 1 ? 3 : 2;
    if (strides[columns] != 1 || sizes[columns] % 8) return false;
  }
  return products == 2 || products == 5;
}
size_t wanted(const Descriptor& graph, int engine) {
  size_t bytes = strtoull(setting("EMULATOR_CUDNN_WORKSPACE", "256"), nullptr, 10) + operations(graph).size();
  return engine == GREEDY ? (size_t)1 << 40 : bytes;
}

Status checked_handle(const char* function, const Descriptor& d, int name) {
  Handle* handle;
  return found(function, d.one<void*>(name), HANDLE, &handle);
}

// ---- computing

Status placed(const char* function, const Descriptor& d, void* place, Tensor* to) {
  *to = Tensor{d.type(), {}, {}, nullptr, d.is_virtual(), 0, {}};
  auto sizes = d.sizes(), strides = d.strides();
  int64_t end = 1;
  for (int i = 0; i < 4; i++) {
    to->sizes[i] = sizes[i], to->strides[i] = strides[i];
    end += (sizes[i] - 1) * strides[i];
  }
  if (d.is_virtual()) return SUCCESS;
  std::string what = "tensor " + std::to_string(d.number());
  if (d.is_value()) {
    Address base = 0;
    size_t room = 0;
    if (!place) return wrong(NULL_POINTER, function, "%s has no value", what.c_str());
    if (!cuMemGetAddressRange_v2(&base, &room, (Address)place)) return wrong(BAD_PARAM, function, "%s is a value, and in device memory", what.c_str());
    to->value = element(place, to->type, 0);
    return SUCCESS;
  }
  if ((Address)place % d.one<int64_t>(900)) return wrong(MISALIGNED, function, "%s at %p", what.c_str(), place);
  to->place = (char*)place;
  return in_memory(function, what.c_str(), place, end * d.bytes());
}

Status execute(const char* function, void* given, void* plan_given, void* pack_given) {
  Handle* handle;
  Descriptor *plan, *pack, *config;
  TRY(found(function, given, HANDLE, &handle));
  TRY(known(function, plan_given, &plan));
  TRY(known(function, pack_given, &pack));
  if (plan->what != PLAN || pack->what != PACK) return wrong(BAD_PARAM, function, "descriptors of kinds %d and %d", plan->what, pack->what);
  if (!plan->finished || !pack->finished) return wrong(BAD_PARAM, function, "a descriptor that is not finished");
  if (plan->one<void*>(400) != given) return wrong(BAD_PARAM, function, "the plan is another handle's");
  void* context = nullptr;
  cuCtxGetCurrent(&context);
  if (context != handle->context) return wrong(BAD_PARAM, function, "the handle is of another context");
  if (!handle->stream) return wrong(STREAM_MISMATCH, function, "the handle has no stream");
  TRY(known(function, plan->part(401), &config));
  TRY(known(function, config->graph, &config->graph));
  if (config->engine != GOOD) return wrong(NOT_SUPPORTED, function, "engine %d", config->engine);
  const Descriptor& graph = *config->graph;

  auto numbers = pack->all<int64_t>(1000);
  auto places = pack->all<void*>(1001);
  std::map<int64_t, void*> where;
  for (size_t i = 0; i < numbers.size(); i++) {
    if (!where.emplace(numbers[i], places[i]).second) return wrong(BAD_PARAM, function, "tensor %lld is given twice", (long long)numbers[i]);
  }
  auto work = std::make_unique<Work>();
  size_t used = 0;
  for (auto [number, d] : tensors_of(graph)) {
    TRY(known(function, d, &d));
    auto at = where.find(number);
    bool given_here = at != where.end();
    if (given_here == d->is_virtual()) return wrong(BAD_PARAM, function, "tensor %lld is%s given", (long long)number, given_here ? "" : " not");
    used += given_here;
    TRY(placed(function, *d, given_here ? at->second : nullptr, &work->tensors[number]));
  }
  if (used != where.size()) return wrong(BAD_PARAM, function, "%zu tensors are given, of which the graph has %zu", where.size(), used);
  auto tensor = [&](const Descriptor* d) { return d ? &work->tensors.at(d->number()) : nullptr; };
  for (Descriptor* o : operations(graph)) {
    TRY(known(function, o, &o));
    Step s{o->what, 0, 0};
    auto in = tensors(*o, false);
    s.x = tensor(in[0]), s.y = tensor(tensors(*o, true)[0]);
    if (o->what == MATMUL_OPERATION) s.b = tensor(in[1]);
    if (o->what == REDUCTION_OPERATION) s.mode = o->part(1612)->one<int>(1600);
    if (o->what == POINTWISE_OPERATION) {
      s.mode = o->part(750)->one<int>(0);
      s.axis = s.mode == NUMBER ? (int)o->part(750)->one<int64_t>(9) : 0;
      s.b = tensor(o->part(752)), s.t = tensor(o->part(758));
    }
    work->steps.push_back(s);
  }
  work->workspace = (char*)pack->one<void*>(1003);
  work->bytes = wanted(graph, config->engine);
  if (work->bytes) TRY(in_memory(function, "the workspace", work->workspace, work->bytes));
  if (logs()) {
    const Descriptor* first = nullptr;
    int products = 0;
    for (Descriptor* o : operations(graph)) {
      if (o->what != MATMUL_OPERATION) continue;
      first = first ? first : o;
      products++;
    }
    const Descriptor &a = *first->part(1520), &b = *first->part(1521);
    fprintf(stderr, "emulator: cudnnBackendExecute of %zu operations, %d products, first %s (%s) by %s (%s), type %d\n", work->steps.size(),
            products, text(a.sizes()).c_str(), text(a.strides()).c_str(), text(b.sizes()).c_str(), text(b.strides()).c_str(), a.type());
  }
  return cuLaunchHostFunc(handle->stream, compute, work.release()) == 0 ? SUCCESS : EXECUTION_FAILED;
}

// ---- reading attributes

Status count_out(const char* function, int64_t room, int64_t count, int64_t* to) {
  if (!to || room < 0) return wrong(NULL_POINTER, function, "no place for a count");
  *to = count;
  return SUCCESS;
}

Status get(const char* function, Descriptor& d, int name, int form, int64_t room, int64_t* count, void* to) {
  auto is = [&](int kind, int attribute, int type) { return d.what == kind && name == attribute && form == type; };
  if (!d.finished && d.what != CONFIG && d.what != ENGINE) return wrong(BAD_PARAM, function, "a descriptor of kind %d that is not finished", d.what);
  if (is(PLAN, 402, A_INT64)) {
    TRY(count_out(function, room, 1, count));
    if (room && to) *(int64_t*)to = (int64_t)wanted(*d.part(401)->graph, d.part(401)->engine);
    return SUCCESS;
  }
  if (is(HEURISTIC, 202, A_DESCRIPTOR)) {
    std::vector<int> engines;
    if (has_engine(*d.part(201))) engines = d.one<int>(200) == 3 ? std::vector<int>{REFUSES, HASTY, GREEDY, FAILS} : std::vector<int>{GOOD};
    if (room == 0) return count_out(function, room, (int64_t)engines.size(), count);
    if (room > (int64_t)engines.size()) room = (int64_t)engines.size();
    for (int64_t i = 0; i < room; i++) {
      Descriptor* config;
      TRY(known(function, ((void**)to)[i], &config));
      if (config->what != CONFIG) return wrong(BAD_PARAM, function, "a descriptor of kind %d for a configuration", config->what);
      config->graph = d.part(201), config->engine = engines[i], config->finished = true;
    }
    return count_out(function, room, room, count);
  }
  if (is(CONFIG, 300, A_DESCRIPTOR)) {
    Descriptor* engine;
    if (!d.graph) return wrong(BAD_PARAM, function, "a configuration of nothing");
    if (room != 1 || !to) return wrong(BAD_PARAM, function, "no engine to be written to");
    TRY(known(function, *(void**)to, &engine));
    if (engine->what != ENGINE) return wrong(BAD_PARAM, function, "a descriptor of kind %d for an engine", engine->what);
    engine->graph = d.graph, engine->engine = d.engine, engine->finished = true;
    return count_out(function, room, 1, count);
  }
  if (is(ENGINE, 1303, A_NOTE)) {
    // That it uses tensor cores, and that its sums depend on time.
    std::vector<int> notes = {0};
    if (d.engine == HASTY) notes.push_back(4);
    for (size_t i = 0; i < notes.size() && (int64_t)i < room; i++) ((int*)to)[i] = notes[i];
    return count_out(function, room, (int64_t)notes.size(), count);
  }
  return wrong(BAD_PARAM, function, "attribute %d of type %d of a descriptor of kind %d", name, form, d.what);
}

Status set(const char* function, Descriptor& d, int name, int form, int64_t count, const void* values) {
  if (d.finished) return wrong(BAD_PARAM, function, "attribute %d of a descriptor that is finished", name);
  const Rule* rule = rule_of(d.what, name);
  if (!rule) return wrong(BAD_PARAM, function, "a descriptor of kind %d has no attribute %d", d.what, name);
  if (form != rule->form) return wrong(BAD_PARAM, function, "attribute %d is of type %d, not %d", name, rule->form, form);
  if (count < 1 || count > rule->most || !values) return wrong(BAD_PARAM, function, "%lld values of attribute %d", (long long)count, name);
  if (form == A_DESCRIPTOR) {
    for (int64_t i = 0; i < count; i++) {
      Descriptor* part;
      TRY(known(function, ((void* const*)values)[i], &part));
      bool fits = rule->part == ANY_OPERATION ? is_operation(part->what) : part->what == rule->part;
      if (!fits) return wrong(BAD_PARAM, function, "a descriptor of kind %d as attribute %d", part->what, name);
      if (!part->finished) return wrong(BAD_PARAM, function, "attribute %d is not finished", name);
    }
  }
  d.values[name] = std::string((const char*)values, count * size_of(form));
  if (form == A_HANDLE) return checked_handle(function, d, name);
  return SUCCESS;
}

}  // namespace

API Status cudnnBackendCreateDescriptor(int kind, void** to) {
  BEGIN;
  TRY(planted_of(__func__, kind));
  for (int one : KINDS) {
    if (one != kind) continue;
    TRY(make<Descriptor>(__func__, DESCRIPTOR, to));
    ((Descriptor*)*to)->what = kind;
    return SUCCESS;
  }
  return wrong(NOT_SUPPORTED, __func__, "a descriptor of kind %d", kind);
}
API Status cudnnBackendDestroyDescriptor(void* descriptor) {
  BEGIN;
  return destroy<Descriptor>(__func__, DESCRIPTOR, descriptor);
}
API Status cudnnBackendSetAttribute(void* descriptor, int name, int form, int64_t count, const void* values) {
  BEGIN;
  Descriptor* d;
  TRY(known(__func__, descriptor, &d));
  TRY(planted_of(__func__, d->what));
  return set(__func__, *d, name, form, count, values);
}
API Status cudnnBackendGetAttribute(void* descriptor, int name, int form, int64_t room, int64_t* count, void* to) {
  BEGIN;
  Descriptor* d;
  TRY(known(__func__, descriptor, &d));
  TRY(planted_of(__func__, d->what));
  return get(__func__, *d, name, form, room, count, to);
}
API Status cudnnBackendFinalize(void* descriptor) {
  BEGIN;
  Descriptor* d;
  TRY(known(__func__, descriptor, &d));
  TRY(planted_of(__func__, d->what));
  if (d->finished) return wrong(BAD_PARAM, __func__, "a descriptor of kind %d is finished twice", d->what);
  TRY(check(__func__, *d));
  if (d->what == PLAN) {
    const Descriptor& config = *d->part(401);
    last = "as engine " + std::to_string(config.engine) + " does";
    if (config.engine == REFUSES) return NOT_SUPPORTED;
    bool compiles = *setting("EMULATOR_CUDNN_COMPILES", "") != 0;
    if (compiles && dlopen("libnvrtc.so.13", RTLD_NOW | RTLD_NOLOAD) == nullptr) return NOT_SUPPORTED;
    if (config.engine == FAILS) return EXECUTION_FAILED;
  }
  d->finished = true;
  return SUCCESS;
}
API Status cudnnBackendExecute(void* handle, void* plan, void* pack) {
  BEGIN;
  return execute(__func__, handle, plan, pack);
}
